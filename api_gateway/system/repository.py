"""The system's rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import AuditLine, GpuSlot, PoolWorker, Priority, Task, TaskStatus
from api_gateway.system.schemas import AuditFilter


async def slots(session: AsyncSession) -> Sequence[GpuSlot]:
    return (await session.scalars(select(GpuSlot).order_by(GpuSlot.gpu_id))).all()


async def slot(session: AsyncSession, gpu_id: int) -> GpuSlot | None:
    return await session.get(GpuSlot, gpu_id)


def is_alive(slot: GpuSlot, lost_after_seconds: float) -> bool:
    """Whether the slot's host has reported lately."""
    return slot.reported_at > datetime.now(UTC) - timedelta(seconds=lost_after_seconds)


async def worker_silences(session: AsyncSession) -> list[float]:
    """Seconds since each pool worker was heard of."""
    age = func.extract("epoch", func.clock_timestamp() - PoolWorker.reported_at)
    return [float(seconds) for seconds in await session.scalars(select(age))]


async def counts_by_status(session: AsyncSession) -> dict[TaskStatus, int]:
    rows = await session.execute(select(Task.status, func.count()).group_by(Task.status))
    found: dict[TaskStatus, int] = {row[0]: row[1] for row in rows}
    return {status: found.get(status, 0) for status in TaskStatus}


async def queued_by_priority(session: AsyncSession) -> dict[Priority, int]:
    rows = await session.execute(
        select(Task.priority, func.count()).where(Task.status == TaskStatus.QUEUED).group_by(Task.priority)
    )
    found: dict[int, int] = {row[0]: row[1] for row in rows}
    return {priority: found.get(int(priority), 0) for priority in Priority}


async def oldest_queued_at(session: AsyncSession) -> datetime | None:
    query = select(func.min(Task.created_at)).where(Task.status == TaskStatus.QUEUED)
    return await session.scalar(query)


async def audit(session: AsyncSession, wanted: AuditFilter) -> tuple[Sequence[AuditLine], int]:
    """One page of the audit log, newest first, and how many lines there are in all."""
    given = {"action": wanted.action, "target": wanted.target}
    named = {name: value for name, value in given.items() if value is not None}
    total = await session.scalar(select(func.count()).select_from(AuditLine).filter_by(**named))
    query = (
        select(AuditLine)
        .filter_by(**named)
        .order_by(AuditLine.id.desc())
        .offset(wanted.offset)
        .limit(wanted.page_size)
    )
    return (await session.scalars(query)).all(), total or 0
