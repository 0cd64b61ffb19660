"""What the rules look at, read from where it is true."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import GpuSlot
from api_gateway.system import repository as system
from mofsim_settings import Settings

_MB_PER_GB = 1000.0
_LONGEST_STREAK = 50

DiskFree = Callable[[Path], float]
"""Free space of the disk that holds a folder, GB."""


@dataclass(frozen=True)
class Reading:
    """The present value of what a rule looks at; None: it cannot be known, so nothing changes."""

    type: str
    subject: str
    value: float | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.type, self.subject


def disk_free_GB(folder: Path) -> float:
    return shutil.disk_usage(folder).free / 1e9


async def gpu_readings(
    session: AsyncSession, settings: Settings, *, silence_from_seconds_ago: float
) -> list[Reading]:
    """Loss, memory and temperature of each GPU, and the silence of its host.

    Parameters
    ----------
    silence_from_seconds_ago
        Silence counts from then at the earliest, s: before, nobody listened.
    """
    slots = {slot.gpu_id: slot for slot in await system.slots(session)}
    ages = {
        row.gpu_id: float(row.age)
        for row in await session.execute(
            text("SELECT gpu_id, extract(epoch FROM clock_timestamp() - reported_at) AS age FROM gpu_slots")
        )
    }
    found: list[Reading] = []
    for gpu_id in range(settings.compute.slots):
        age = ages.get(gpu_id, float("inf"))
        found.append(_silence(settings, f"GPU host {gpu_id}", age, silence_from_seconds_ago, gpu_id=gpu_id))
        silent = age > settings.alerts.worker_silent_seconds
        found += _device_readings(gpu_id, None if silent else slots.get(gpu_id))
    return found


def _silence(settings: Settings, subject: str, age: float, listening: float, **details: Any) -> Reading:
    """Silence of `age` seconds, of which only what `listening` heard is held against `subject`."""
    value: float | None = min(age, listening)
    if age > settings.alerts.worker_silent_seconds >= listening:
        value = None
    return Reading(
        "worker_offline", subject, value, details | {"silent_seconds": round(min(age, listening), 1)}
    )


def _device_readings(gpu_id: int, slot: GpuSlot | None) -> Iterator[Reading]:
    report = slot.report if slot is not None else {}
    subject = f"GPU {gpu_id}"
    # A host that starts, or has lost its scheduler, is not usable yet, but its GPU is not lost.
    known = slot is not None and (report.get("ok") or report.get("connected", True))
    lost = float(not report.get("ok")) if known else None
    yield Reading("gpu_lost", subject, lost, {"gpu_id": gpu_id, "error": report.get("error")})
    free, total = report.get("memory_free_MB"), report.get("memory_total_MB")
    details = {
        "gpu_id": gpu_id,
        "available_memory_gb": None if free is None else round(free / _MB_PER_GB, 2),
        "total_memory_gb": None if total is None else round(total / _MB_PER_GB, 2),
    }
    yield Reading("gpu_memory_low", subject, None if free is None else free / _MB_PER_GB, details)
    temperature = report.get("temperature_C")
    details = {"gpu_id": gpu_id, "temperature_C": temperature}
    yield Reading("gpu_temperature_high", subject, temperature, details)


async def worker_readings(
    session: AsyncSession, settings: Settings, *, silence_from_seconds_ago: float
) -> list[Reading]:
    """Silence of each machine's pool worker; there must be one at least."""
    rows = await session.execute(
        text(
            "SELECT host, extract(epoch FROM clock_timestamp() - reported_at) AS age"
            " FROM pool_workers ORDER BY host"
        )
    )
    ages = {f"Pool worker on {row.host}": float(row.age) for row in rows}
    return [
        _silence(settings, subject, age, silence_from_seconds_ago)
        for subject, age in (ages or {"Pool worker": float("inf")}).items()
    ]


async def queue_reading(session: AsyncSession) -> Reading:
    by_priority = await system.queued_by_priority(session)
    waiting = sum(by_priority.values())
    details = {"waiting": waiting, "by_priority": {level.name: n for level, n in by_priority.items()}}
    return Reading("queue_backlog", "queue", waiting, details)


# The models, by jumps through the index instead of a look at every task; then of each its last
# tasks that were computed to an end, good or bad.
_STREAKS = text("""
    WITH RECURSIVE models AS (
        (SELECT model FROM tasks WHERE ended_at IS NOT NULL ORDER BY model LIMIT 1)
        UNION ALL
        SELECT (
            SELECT t.model FROM tasks t WHERE t.ended_at IS NOT NULL AND t.model > models.model
            ORDER BY t.model LIMIT 1
        ) FROM models WHERE models.model IS NOT NULL
    )
    SELECT models.model, last.id, last.status, last.error
    FROM models CROSS JOIN LATERAL (
        SELECT id, status, error, ended_at FROM tasks t
        WHERE t.model = models.model AND t.ended_at IS NOT NULL AND t.status <> 'CANCELLED'
        ORDER BY t.ended_at DESC LIMIT :longest
    ) last
    ORDER BY models.model, last.ended_at DESC
""")


async def failure_readings(session: AsyncSession) -> list[Reading]:
    """Failures in a row of each model, since its last success (50 at most are counted)."""
    streaks: dict[str, list[Any]] = {}
    ended: set[str] = set()
    for row in await session.execute(_STREAKS, {"longest": _LONGEST_STREAK}):
        streak = streaks.setdefault(row.model, [])
        if row.status == "COMPLETED":
            ended.add(row.model)
        elif row.model not in ended:
            streak.append(row)
    return [
        Reading(
            "task_failures",
            model,
            len(streak),
            {
                "model": model,
                "failures_in_a_row": len(streak),
                "last_task_id": streak[0].id if streak else None,
                "last_error": (streak[0].error or {}).get("code") if streak else None,
            },
        )
        for model, streak in streaks.items()
    ]


async def expiry_reading(session: AsyncSession, settings: Settings) -> Reading:
    """Results that will be cleared away before long."""
    storage = settings.storage
    count = 0
    if storage.clear_expired:
        count = await session.scalar(
            text(
                "SELECT count(*) FROM task_results"
                " WHERE kept_from < clock_timestamp() - make_interval(days => :days)"
            ),
            {"days": max(storage.keep_results_days - storage.remind_before_days, 0)},
        )
    details = {"results": count, "within_days": storage.remind_before_days}
    return Reading("results_expiring", "results", count, details)


async def api_reading(session: AsyncSession, settings: Settings) -> Reading:
    """The slowest gateway process that lives."""
    rows = await session.execute(
        text(
            "SELECT id, requests, p99_seconds FROM gateway_processes"
            " WHERE reported_at > clock_timestamp() - interval '30 s' AND p99_seconds IS NOT NULL"
            " ORDER BY p99_seconds DESC LIMIT 1"
        )
    )
    slowest = rows.first()
    if slowest is None:
        return Reading("api_slow", "API", 0.0)
    details = {"p99_seconds": round(slowest.p99_seconds, 3), "requests": slowest.requests}
    return Reading("api_slow", "API", slowest.p99_seconds, details)


def disk_reading(settings: Settings, disk_free: DiskFree) -> Reading:
    """The disk under the storage; the nearest folder that exists stands for one not made yet."""
    root = settings.storage_root.absolute()
    folder = next(path for path in (root, *root.parents) if path.exists())
    free = disk_free(folder)
    return Reading("disk_space_low", "storage", free, {"available_gb": round(free, 1)})
