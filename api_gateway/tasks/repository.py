"""Tasks in the database, as the REST side reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, select, text, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from api_gateway.database.models import (
    Batch,
    Priority,
    Task,
    TaskAttempt,
    TaskHistory,
    TaskLog,
    TaskResult,
    TaskStatus,
)
from api_gateway.tasks.schemas import TaskFilter

_SUMMARY = load_only(
    *(Task.id, Task.place, Task.task_type, Task.status, Task.priority, Task.model, Task.structure_id),
    *(Task.structure, Task.batch_id, Task.tags, Task.gpu_id, Task.attempt, Task.progress, Task.error),
    *(Task.created_at, Task.started_at, Task.ended_at),
    raiseload=True,
)
"""What a task in a list shows."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


async def find(session: AsyncSession, task_id: str) -> Task | None:
    return await session.get(Task, task_id)


async def find_locked(session: AsyncSession, task_id: str) -> Task | None:
    return await session.get(Task, task_id, with_for_update=True)


@dataclass(frozen=True)
class Overview:
    """A task with what is told of it elsewhere."""

    task: Task
    history: list[dict[str, Any]]
    """`{status, at, attempt, gpu_id, reason}` of each move, oldest first."""
    placement: dict[str, Any] | None
    """Why the latest attempt got its GPU; None before one did."""
    flow_run_id: UUID | None


_MOVES = (
    select(
        func.jsonb_agg(
            aggregate_order_by(
                func.jsonb_build_object(
                    *("status", TaskHistory.to_status, "at", TaskHistory.at),
                    *("attempt", TaskHistory.attempt, "gpu_id", TaskHistory.gpu_id),
                    *("reason", TaskHistory.reason),
                ),
                TaskHistory.id,
            )
        )
    )
    .where(TaskHistory.task_id == Task.id)
    .scalar_subquery()
)
_LATEST = (
    select(TaskAttempt.reasons, TaskAttempt.flow_run_id)
    .where(TaskAttempt.task_id == Task.id)
    .order_by(TaskAttempt.attempt.desc())
    .limit(1)
    .lateral("latest")
)
# One statement: each costs the gateway more than PostgreSQL needs to answer it.
_OVERVIEW = select(Task, _MOVES, _LATEST.c.reasons, _LATEST.c.flow_run_id).outerjoin(_LATEST, true())


async def overview(session: AsyncSession, task_id: str) -> Overview | None:
    row = (await session.execute(_OVERVIEW.where(Task.id == task_id))).one_or_none()
    return None if row is None else Overview(row[0], row[1] or [], row[2], row[3])


async def exists(session: AsyncSession, task_id: str) -> bool:
    return await session.scalar(select(Task.id).where(Task.id == task_id)) is not None


async def result(session: AsyncSession, task_id: str) -> TaskResult | None:
    return await session.get(TaskResult, task_id)


def _matching(wanted: TaskFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.status is not None:
        conditions.append(Task.status == wanted.status)
    if wanted.task_type is not None:
        conditions.append(Task.task_type == wanted.task_type)
    if wanted.model is not None:
        conditions.append(Task.model == wanted.model)
    if wanted.priority is not None:
        conditions.append(Task.priority == Priority[wanted.priority].value)
    if wanted.batch_id is not None:
        conditions.append(Task.batch_id == wanted.batch_id)
    if wanted.structure_id is not None:
        conditions.append(Task.structure_id == wanted.structure_id)
    if wanted.tag is not None:
        conditions.append(Task.tags.contains([wanted.tag]))
    if wanted.created_after is not None:
        conditions.append(Task.created_at >= wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(Task.created_at < wanted.created_before)
    return conditions


async def count(session: AsyncSession, wanted: TaskFilter) -> int:
    query = select(func.count()).select_from(Task).where(and_(True, *_matching(wanted)))
    return await session.scalar(query) or 0


async def page(session: AsyncSession, wanted: TaskFilter, before_place: int | None) -> Sequence[Task]:
    """Tasks newest first, one more than the page holds, so that the caller sees whether it ends."""
    query = select(Task).options(_SUMMARY).where(and_(True, *_matching(wanted)))
    if before_place is not None:
        query = query.where(Task.place < before_place)
    else:
        query = query.offset(wanted.offset)
    query = query.order_by(Task.place.desc()).limit(wanted.page_size + 1)
    return (await session.scalars(query)).all()


async def logs(
    session: AsyncSession,
    task_id: str,
    *,
    level: str,
    since: datetime | None,
    after_id: int,
    limit: int,
) -> Sequence[TaskLog]:
    """Lines of `level` and above with an id above `after_id`, oldest first."""
    query = select(TaskLog).where(TaskLog.task_id == task_id, TaskLog.id > after_id)
    if level != LEVELS[0]:
        query = query.where(TaskLog.level.in_(LEVELS[LEVELS.index(level) :]))
    if since is not None:
        query = query.where(TaskLog.timestamp >= since)
    return (await session.scalars(query.order_by(TaskLog.id).limit(limit))).all()


async def find_batch(session: AsyncSession, batch_id: str) -> Batch | None:
    return await session.get(Batch, batch_id)


async def batch_tasks(session: AsyncSession, batch_id: str) -> Sequence[Task]:
    return (await session.scalars(select(Task).where(Task.batch_id == batch_id).order_by(Task.place))).all()


@dataclass(frozen=True)
class TaskEvent:
    """Something that happened to a task."""

    id: int
    kind: str
    data: dict[str, Any]


_EVENTS = text(
    """
    SELECT id, 'log' AS kind, jsonb_build_object(
        'id', id, 'timestamp', to_char(timestamp AT TIME ZONE 'UTC', :iso), 'level', level,
        'logger', logger, 'message', message, 'task_id', task_id, 'attempt', attempt, 'gpu_id', gpu_id,
        'extra', extra
    ) AS data
    FROM task_logs WHERE task_id = :task_id AND id > :after AND level = ANY (:levels)
    UNION ALL
    SELECT id, 'status', jsonb_build_object(
        'task_id', task_id, 'status', to_status, 'at', to_char(at AT TIME ZONE 'UTC', :iso),
        'attempt', attempt, 'gpu_id', gpu_id, 'reason', reason
    )
    FROM task_history WHERE task_id = :task_id AND id > :after
    UNION ALL
    SELECT progress_event, 'progress', progress || jsonb_build_object('task_id', id)
    FROM tasks WHERE id = :task_id AND progress_event > :after
    ORDER BY 1 LIMIT :limit
    """
)


async def events(
    session: AsyncSession, task_id: str, *, after: int, level: str, limit: int
) -> list[TaskEvent]:
    """What happened after event number `after`, in order; of progress only the latest."""
    rows = await session.execute(
        _EVENTS,
        {
            "task_id": task_id,
            "after": after,
            "levels": list(LEVELS[LEVELS.index(level) :]),
            "limit": limit,
            "iso": 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"',
        },
    )
    return [TaskEvent(row.id, row.kind, row.data) for row in rows]


async def status(session: AsyncSession, task_id: str) -> TaskStatus | None:
    return await session.scalar(select(Task.status).where(Task.id == task_id))
