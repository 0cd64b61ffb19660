"""Files in the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import File, TaskResult


async def find(session: AsyncSession, file_id: str) -> File | None:
    return await session.get(File, file_id)


async def used(session: AsyncSession, task_id: str) -> None:
    """Count the time that a task's result is kept anew; once a day is enough."""
    await session.execute(
        update(TaskResult)
        .where(
            TaskResult.task_id == task_id,
            TaskResult.kept_from < func.clock_timestamp() - text("interval '1 day'"),
        )
        .values(kept_from=func.clock_timestamp())
    )


async def of_task(session: AsyncSession, task_id: str, attempt: int) -> Sequence[File]:
    """Files that the attempt with the result left, in the order they were written down."""
    query = select(File).where(File.task_id == task_id, File.attempt == attempt).order_by(File.id)
    return (await session.scalars(query)).all()
