"""The picture that a placement decides on, read from the database in a few short queries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import Task, TaskStatus
from api_gateway.scheduling.placement import Occupant, QueuedTask, Rules, Slot
from mofsim_settings import Settings


@dataclass(frozen=True)
class Picture:
    """The head of the queue and every slot."""

    queue: list[QueuedTask]
    slots: list[Slot]


_SLOTS = text("""
    SELECT s.gpu_id, s.report,
        s.kill_requested_at IS NULL
            AND coalesce((s.report ->> 'ok')::boolean, false)
            AND s.reported_at > clock_timestamp() - make_interval(secs => :silent_seconds) AS alive,
        extract(epoch FROM clock_timestamp() - coalesce(
            (SELECT max(a.released_at) FROM task_attempts a WHERE a.gpu_id = s.gpu_id), s.booted_at
        ))::float8 AS idle_seconds
    FROM gpu_slots s ORDER BY s.gpu_id
""")

_OCCUPANTS = text("""
    SELECT a.gpu_id,
        a.ended_at IS NULL AND t.status = 'RUNNING' AND t.stop_requested_at IS NULL AS running,
        d.median_seconds,
        extract(epoch FROM clock_timestamp() - a.started_at)::float8 AS elapsed_seconds
    FROM task_attempts a
    JOIN tasks t ON t.id = a.task_id
    LEFT JOIN task_durations d ON d.task_type = t.task_type AND d.model = t.model
        AND d.size_class = t.size_class
    WHERE a.released_at IS NULL
""")


def rules(settings: Settings) -> Rules:
    """The operator's rules of placement."""
    spare, slots = settings.compute.spare_gpu, settings.compute.slots
    return Rules(
        slots=slots,
        spare_gpu=spare if spare is not None and spare < slots else None,
        bind_ahead_below_seconds=settings.scheduling.bind_ahead_below_seconds,
    )


async def take_picture(session: AsyncSession, settings: Settings) -> Picture:
    """Read the slots and as much of the queue's head as could be placed on them."""
    slots = await _slots(session, settings)
    # Twice the slots (run and bound ahead), and some that may fit where the first do not.
    limit = 2 * len(slots) + 32
    heads = await session.execute(
        select(
            Task.id,
            Task.attempt,
            Task.priority,
            Task.place,
            Task.model,
            Task.memory_estimate_MB,
            Task.out_of_memory,
        )
        .where(
            Task.status == TaskStatus.QUEUED,
            or_(Task.not_before.is_(None), Task.not_before <= func.clock_timestamp()),
        )
        .order_by(Task.priority, Task.place)
        .limit(limit)
    )
    queue = [
        QueuedTask(
            task_id=head.id,
            attempt=head.attempt,
            priority=head.priority,
            place=head.place,
            model=head.model,
            memory_MB=head.memory_estimate_MB,
            whole_gpu=head.out_of_memory,
        )
        for head in heads
    ]
    return Picture(queue=queue, slots=slots)


async def _slots(session: AsyncSession, settings: Settings) -> list[Slot]:
    occupants: dict[int, list[Occupant]] = defaultdict(list)
    for row in await session.execute(_OCCUPANTS):
        occupants[row.gpu_id].append(
            Occupant(
                running=row.running, remaining_seconds=_remaining(row.median_seconds, row.elapsed_seconds)
            )
        )
    # Long before a silent host counts as lost it gets nothing new: it may be on its way back.
    silent_seconds = settings.scheduling.lost_after_seconds / 3
    found = await session.execute(_SLOTS, {"silent_seconds": silent_seconds})
    return [
        Slot(
            gpu_id=row.gpu_id,
            alive=row.alive,
            memory_total_MB=row.report.get("memory_total_MB"),
            memory_free_MB=row.report.get("memory_free_MB"),
            memory_reclaimable_MB=row.report.get("memory_reclaimable_MB") or 0.0,
            temperature_C=row.report.get("temperature_C"),
            utilisation_percent=row.report.get("utilisation_percent"),
            warm_models=frozenset(row.report.get("warm_models") or ()),
            occupants=tuple(occupants[row.gpu_id]),
            idle_seconds=max(row.idle_seconds, 0.0),
        )
        for row in found
    ]


def _remaining(median_seconds: float | None, elapsed_seconds: float | None) -> float | None:
    """Expected rest of a run; None once it took so long that the median says nothing of it."""
    if median_seconds is None or elapsed_seconds is None or elapsed_seconds > 2 * median_seconds + 1:
        return None
    return max(median_seconds - elapsed_seconds, 0.0)
