"""How long a task will wait, from the queue, the slots and measured durations of like tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import Priority, Task
from mof_benchmark.schemas import TaskType
from mofsim_settings import Settings


class Kind(NamedTuple):
    """Tasks of one kind are expected to take equally long."""

    task_type: TaskType
    model: str
    size_class: int = 0
    """As `size_class` gives it."""


def size_class(n_edges: int | None) -> int:
    """Binary logarithm of the edges, 0 when unknown: neighbours differ by a factor of two."""
    return max(n_edges or 1, 1).bit_length() - 1


@dataclass(frozen=True)
class Place:
    """A place in the queue."""

    position: int
    estimated_wait_seconds: float | None


@dataclass
class Forecast:
    """The queue at one moment; `join` appends to it and says what the newcomer finds.

    Attributes
    ----------
    ahead
        Number of waiting tasks by priority and kind.
    medians
        Median run time of a kind, s.
    idle_slots, usable_slots
        Slots without a task, and all that are alive.
    remaining_seconds
        Expected rest of what runs now, summed over the slots, s.
    """

    ahead: dict[Priority, dict[Kind, int]]
    medians: Mapping[Kind, float]
    idle_slots: int
    usable_slots: int
    remaining_seconds: float
    _work: dict[Priority, float | None] = field(init=False, default_factory=dict)
    _count: dict[Priority, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for priority in Priority:
            kinds = self.ahead.get(priority, {})
            self._count[priority] = sum(kinds.values())
            work: float | None = 0.0
            for kind, count in kinds.items():
                seconds = self.expected_seconds(kind)
                work = None if work is None or seconds is None else work + count * seconds
            self._work[priority] = work

    @property
    def queue_length(self) -> int:
        """Tasks that wait, those that joined included."""
        return sum(self._count.values())

    def expected_seconds(self, kind: Kind) -> float | None:
        """Median of like tasks; told from other sizes, or else from all that was measured."""
        if kind in self.medians:
            return self.medians[kind]
        others = [other for other in self.medians if other[:2] == kind[:2]]
        if others:
            nearest = min(others, key=lambda other: abs(other.size_class - kind.size_class))
            known = nearest.size_class > 0 and kind.size_class > 0
            # A force call takes as long as the graph has edges.
            scale = 2.0 ** (kind.size_class - nearest.size_class) if known else 1.0
            return self.medians[nearest] * scale
        if not self.medians:
            return None
        ordered = sorted(self.medians.values())
        return ordered[len(ordered) // 2]

    def join(self, priority: Priority, kind: Kind) -> Place:
        """Append a task and return its place."""
        earlier = [p for p in Priority if p <= priority]
        ahead = sum(self._count[p] for p in earlier)
        place = Place(position=ahead + 1, estimated_wait_seconds=self._wait(ahead, earlier))
        self._count[priority] += 1
        seconds, work = self.expected_seconds(kind), self._work[priority]
        self._work[priority] = None if seconds is None or work is None else work + seconds
        return place

    def _wait(self, ahead: int, earlier: list[Priority]) -> float | None:
        if ahead < self.idle_slots:
            return 0.0
        work = self.remaining_seconds
        for priority in earlier:
            of_priority = self._work[priority]
            if of_priority is None:
                return None
            work += of_priority
        return round(work / max(self.usable_slots, 1), 1)


# One statement: each costs the gateway more than PostgreSQL needs to answer it.
_PICTURE = text("""
    SELECT
        (SELECT jsonb_agg(q) FROM (
            SELECT priority, task_type, model, size_class, count(*) AS n FROM tasks
            WHERE status = 'QUEUED' AND (
                CAST(:priority AS smallint) IS NULL OR (priority, place) < (:priority, :place)
            )
            GROUP BY 1, 2, 3, 4
        ) q) AS queue,
        (SELECT jsonb_agg(d) FROM (
            SELECT task_type, model, size_class, median_seconds FROM task_durations
        ) d) AS durations,
        (SELECT jsonb_agg(r) FROM (
            SELECT t.task_type, t.model, t.size_class,
                extract(epoch FROM clock_timestamp() - a.started_at)::float8 AS elapsed
            FROM tasks t JOIN task_attempts a ON a.task_id = t.id AND a.attempt = t.attempt
            WHERE t.status IN ('ASSIGNED', 'RUNNING')
        ) r) AS running,
        count(*) AS usable,
        count(*) FILTER (WHERE NOT EXISTS (
            SELECT 1 FROM task_attempts a WHERE a.gpu_id = s.gpu_id AND a.released_at IS NULL
        )) AS idle
    FROM gpu_slots s
    WHERE s.reported_at > clock_timestamp() - make_interval(secs => :lost_after_seconds)
        AND (s.report ->> 'ok')::boolean
""")


async def read_forecast(session: AsyncSession, settings: Settings, *, before: Task | None = None) -> Forecast:
    """Read the present queue (only what stands before the task `before`, where given)."""
    asked = {
        "lost_after_seconds": settings.scheduling.lost_after_seconds,
        "priority": before.priority if before is not None else None,
        "place": before.place if before is not None else None,
    }
    found = (await session.execute(_PICTURE, asked)).one()
    ahead: dict[Priority, dict[Kind, int]] = defaultdict(dict)
    for row in found.queue or ():
        ahead[Priority(row["priority"])][_kind(row)] = row["n"]
    forecast = Forecast(
        ahead=ahead,
        medians={_kind(row): row["median_seconds"] for row in found.durations or ()},
        idle_slots=found.idle,
        usable_slots=found.usable,
        remaining_seconds=0.0,
    )
    for row in found.running or ():
        expected = forecast.expected_seconds(_kind(row)) or 0.0
        forecast.remaining_seconds += max(expected - (row["elapsed"] or 0.0), 0.0)
    return forecast


def _kind(row: Mapping[str, Any]) -> Kind:
    return Kind(TaskType(row["task_type"]), row["model"], row["size_class"])
