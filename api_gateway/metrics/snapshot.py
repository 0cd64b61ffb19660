"""What the database knows at this moment, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import Priority
from mofsim_settings import Settings

_TASKS = text("SELECT task_type, status, model, count(*) AS n FROM tasks GROUP BY 1, 2, 3")
_QUEUE = text("SELECT priority, count(*) AS n FROM tasks WHERE status = 'QUEUED' GROUP BY 1")
_OLDEST = text(
    "SELECT extract(epoch FROM clock_timestamp() - min(created_at)) FROM tasks WHERE status = 'QUEUED'"
)
_SLOTS = text(
    "SELECT gpu_id, report, extract(epoch FROM clock_timestamp() - reported_at) AS age FROM gpu_slots"
)
_WEBHOOKS = text("SELECT count(*) FROM webhook_deliveries WHERE status = 'pending'")
_ALERTS = text("SELECT type, level, count(*) AS n FROM alerts WHERE resolved_at IS NULL GROUP BY 1, 2")
_BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class Family:
    """A gauge with its samples."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Sequence[tuple[tuple[str, ...], float]]


class Snapshot(Collector):
    """Families read once, for one answer."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for values, number in family.samples:
                gauge.add_metric(values, number)
            yield gauge


async def read(session: AsyncSession, settings: Settings) -> list[Family]:
    """Ask the database everything."""
    tasks = [((row.task_type, row.status, row.model), float(row.n)) for row in await session.execute(_TASKS)]
    waiting = {row.priority: float(row.n) for row in await session.execute(_QUEUE)}
    alerts = [((row.type, row.level), float(row.n)) for row in await session.execute(_ALERTS)]
    pending = await session.scalar(_WEBHOOKS)
    oldest = await session.scalar(_OLDEST)
    return [
        Family("mofsim_tasks", "Tasks.", ("task_type", "status", "model"), tasks),
        Family(
            "mofsim_queue_tasks",
            "Waiting tasks.",
            ("priority",),
            [((level.name,), waiting.get(int(level), 0.0)) for level in Priority],
        ),
        Family(
            "mofsim_queue_oldest_seconds", "Age of the oldest waiting task.", (), [((), float(oldest or 0))]
        ),
        Family(
            "mofsim_webhook_pending",
            "Webhook deliveries that are due or wait.",
            (),
            [((), float(pending or 0))],
        ),
        Family("mofsim_alerts_active", "Alerts that last.", ("type", "level"), alerts),
        *_gpu_families(list(await session.execute(_SLOTS)), settings),
    ]


def _gpu_families(rows: Sequence[Any], settings: Settings) -> Iterator[Family]:
    lost_after = settings.scheduling.lost_after_seconds
    up = [((str(row.gpu_id),), float(bool(row.report.get("ok")) and row.age <= lost_after)) for row in rows]
    yield Family("mofsim_gpu_up", "Whether the GPU's host reports it well.", ("gpu",), up)
    for name, about, field, factor in (
        ("mofsim_gpu_memory_free_bytes", "Free memory.", "memory_free_MB", _BYTES_PER_MB),
        ("mofsim_gpu_memory_total_bytes", "Memory.", "memory_total_MB", _BYTES_PER_MB),
        ("mofsim_gpu_temperature_celsius", "Temperature.", "temperature_C", 1.0),
        ("mofsim_gpu_utilisation_percent", "Utilisation.", "utilisation_percent", 1.0),
    ):
        known = [
            ((str(row.gpu_id),), row.report[field] * factor)
            for row in rows
            if row.report.get(field) is not None
        ]
        yield Family(name, about, ("gpu",), known)
    busy = [((str(row.gpu_id),), float(row.report.get("current") is not None)) for row in rows]
    yield Family("mofsim_gpu_busy", "Whether the GPU computes.", ("gpu",), busy)
    warm = [((str(row.gpu_id), model), 1.0) for row in rows for model in row.report.get("warm_models", [])]
    yield Family("mofsim_gpu_warm_model", "Models that are loaded.", ("gpu", "model"), warm)
