"""What the REST side asks of the queue: take tasks in, stop them, say how long they will wait.

All of it works inside the caller's transaction and touches the database alone; triggers tell the
engine at commit. So a submission or a cancellation holds whether or not Prefect is up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import Priority, StopReason, Task, TaskStatus
from api_gateway.errors import QueueFullError
from api_gateway.scheduling.estimates import Forecast, Kind, read_forecast, size_class
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import StructureInput, TaskType
from mofsim_settings import Settings


@dataclass(frozen=True, kw_only=True)
class Notification:
    """Where and of what a client wants to be told."""

    url: str
    events: tuple[str, ...]
    secret_encrypted: bytes | None = None
    """By `api_gateway.database.SecretBox`."""
    retry_times: int = 3
    retry_interval_seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class NewTask:
    """A validated submission."""

    task_type: TaskType
    model: str
    structure: StructureInput
    parameters: dict[str, Any]
    n_atoms: int | None = None
    n_edges: int | None = None
    """Of the largest cell that is evaluated."""
    options: dict[str, Any] = field(default_factory=dict)
    """As they were given, without secrets: shown, and used by a retry."""
    require_convergence: bool = False
    priority: Priority = Priority.NORMAL
    timeout_seconds: int | None = None
    """None: the default of the settings."""
    tags: tuple[str, ...] = ()
    memory_estimate_MB: float | None = None
    notification: Notification | None = None
    retry_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A task in the queue."""

    task_id: str
    status: TaskStatus
    position: int
    """1 is next."""
    estimated_wait_seconds: float | None
    """None while no like task was measured yet."""


class Cancellation(Enum):
    """What became of a request to cancel."""

    CANCELLED = auto()
    """It was waiting and is CANCELLED now."""
    STOPPING = auto()
    """It runs; it stops at its next step boundary."""
    ENDED = auto()
    """It had ended before."""
    UNKNOWN = auto()
    """There is no such task."""


class QueueService:
    """The queue as the REST side sees it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def submit(
        self,
        session: AsyncSession,
        tasks: Sequence[NewTask],
        *,
        request_id: str,
        api_key_id: str | None = None,
        batch_id: str | None = None,
    ) -> list[Accepted]:
        """Queue `tasks`, in their order, all or none; they are placed once `session` commits.

        A batch's own row (`Batch`) is the caller's to insert first.

        Raises
        ------
        QueueFullError
        """
        if not tasks:
            return []
        rows = [self._row(task, request_id, api_key_id, batch_id) for task in tasks]
        # The queue as it stood before: what is ahead is counted once, not once for each task.
        forecast = await self.forecast(session)
        limit = self._settings.gateway.max_queued_tasks
        if forecast.queue_length + len(tasks) > limit:
            raise QueueFullError(f"The queue holds at most {limit} tasks")
        await session.execute(insert(Task), rows)
        return [
            Accepted(
                task_id=row["id"],
                status=TaskStatus.QUEUED,
                position=(place := forecast.join(task.priority, _kind(task))).position,
                estimated_wait_seconds=place.estimated_wait_seconds,
            )
            for task, row in zip(tasks, rows, strict=True)
        ]

    async def cancel(self, session: AsyncSession, task_id: str) -> Cancellation:
        """Cancel a waiting task at once; ask a running one to stop.

        Prefect is told by the engine, so that a cancellation holds even while Prefect is away.
        """
        task = await session.scalar(select(Task).where(Task.id == task_id).with_for_update(key_share=True))
        if task is None:
            return Cancellation.UNKNOWN
        if task.status.ended:
            return Cancellation.ENDED
        if task.status.bound:
            await request_stop(session, task, StopReason.CANCEL)
            return Cancellation.STOPPING
        task.status = TaskStatus.CANCELLED
        task.status_reason = "cancelled by a client while waiting"
        await session.flush()
        return Cancellation.CANCELLED

    async def forecast(self, session: AsyncSession) -> Forecast:
        """The queue, the slots and the measured durations, from which waits are told."""
        return await read_forecast(session, self._settings)

    async def outlook(self, session: AsyncSession, task: Task) -> Accepted | None:
        """Position and expected wait of a waiting task; None once it has a GPU."""
        if task.status is not TaskStatus.QUEUED:
            return None
        forecast = await read_forecast(session, self._settings, before=task)
        place = forecast.join(Priority(task.priority), Kind(task.task_type, task.model, task.size_class))
        return Accepted(
            task_id=task.id,
            status=task.status,
            position=place.position,
            estimated_wait_seconds=place.estimated_wait_seconds,
        )

    def _row(
        self, task: NewTask, request_id: str, api_key_id: str | None, batch_id: str | None
    ) -> dict[str, Any]:
        scheduling = self._settings.scheduling
        timeout = task.timeout_seconds or scheduling.default_timeout_seconds
        notification = task.notification
        return {
            "id": new_id("task"),
            "task_type": task.task_type,
            "model": task.model,
            "structure_id": task.structure.structure_id,
            "structure": task.structure.model_dump(mode="json"),
            "n_atoms": task.n_atoms,
            "n_edges": task.n_edges,
            "size_class": size_class(task.n_edges),
            "parameters": task.parameters,
            "options": task.options,
            "require_convergence": task.require_convergence,
            "priority": int(task.priority),
            "timeout_seconds": min(timeout, scheduling.max_timeout_seconds),
            "tags": list(task.tags),
            "memory_estimate_MB": task.memory_estimate_MB,
            "batch_id": batch_id,
            "retry_of": task.retry_of,
            "api_key_id": api_key_id,
            "request_id": request_id,
            "status": TaskStatus.QUEUED,
            "notify_url": notification.url if notification else None,
            "notify_events": list(notification.events) if notification else [],
            "notify_secret_encrypted": notification.secret_encrypted if notification else None,
            "notify_retry_times": notification.retry_times if notification else 3,
            "notify_retry_interval_seconds": (notification.retry_interval_seconds if notification else 10.0),
        }


def _kind(task: NewTask) -> Kind:
    return Kind(task.task_type, task.model, size_class(task.n_edges))


async def request_stop(session: AsyncSession, task: Task, reason: StopReason) -> None:
    """Ask the present attempt of a bound task to stop; the first reason stands."""
    await session.execute(
        update(Task)
        .where(Task.id == task.id, Task.stop_requested_at.is_(None))
        .values(stop_requested_at=func.clock_timestamp(), stop_reason=reason)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        text("SELECT pg_notify('mofsim_attempt', :attempt)"), {"attempt": f"{task.id}:{task.attempt}"}
    )
