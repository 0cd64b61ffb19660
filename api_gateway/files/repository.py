"""Files in the database."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import File


async def find(session: AsyncSession, file_id: str) -> File | None:
    return await session.get(File, file_id)


async def used(session: AsyncSession, task_id: str) -> None:
    """Count anew the time that a task's result, or what it left instead, is kept."""
    await session.execute(select(func.task_used(task_id)))


async def of_task(session: AsyncSession, task_id: str, attempt: int) -> Sequence[File]:
    """Files of the attempt with the result, in the order they were written down."""
    query = select(File).where(File.task_id == task_id, File.attempt == attempt).order_by(File.id)
    return (await session.scalars(query)).all()


async def left_by(session: AsyncSession, task_id: str) -> Sequence[File]:
    """Files of an ended task, with a result or without, in the order they were written down."""
    return (await session.scalars(select(File).where(File.task_id == task_id).order_by(File.id))).all()
