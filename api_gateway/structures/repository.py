"""Structures in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import ENDED, Structure, Task
from api_gateway.paging import Paging


async def find(session: AsyncSession, structure_id: str) -> Structure | None:
    query = select(Structure).where(Structure.id == structure_id, Structure.deleted_at.is_(None))
    return (await session.scalars(query)).one_or_none()


async def find_for_deletion(session: AsyncSession, structure_id: str) -> Structure | None:
    """Locked against submissions that are about to use it."""
    query = select(Structure).where(Structure.id == structure_id, Structure.deleted_at.is_(None))
    return (await session.scalars(query.with_for_update())).one_or_none()


async def find_for_use(session: AsyncSession, ids: Iterable[str]) -> dict[str, Structure]:
    """Those of `ids` that exist, locked against deletion until the tasks on them are stored."""
    query = (
        select(Structure)
        .where(Structure.id.in_(sorted(set(ids))), Structure.deleted_at.is_(None))
        .order_by(Structure.id)
        .with_for_update(read=True)
    )
    return {structure.id: structure for structure in await session.scalars(query)}


async def mark_deleted(session: AsyncSession, structure: Structure) -> None:
    """Ended tasks keep naming it; nobody else can find it."""
    structure.deleted_at = datetime.now(UTC)
    await session.flush()


async def find_by_content(session: AsyncSession, source_sha256: str) -> Structure | None:
    query = select(Structure).where(Structure.source_sha256 == source_sha256, Structure.deleted_at.is_(None))
    return (await session.scalars(query)).one_or_none()


async def page(session: AsyncSession, wanted: Paging) -> tuple[Sequence[Structure], int]:
    """One page, newest first, and how many there are in all."""
    present = Structure.deleted_at.is_(None)
    total = await session.scalar(select(func.count()).select_from(Structure).where(present))
    query = (
        select(Structure)
        .where(present)
        .order_by(Structure.created_at.desc(), Structure.id.desc())
        .offset(wanted.offset)
        .limit(wanted.page_size)
    )
    return (await session.scalars(query)).all(), total or 0


async def is_in_use(session: AsyncSession, structure_id: str) -> bool:
    """Whether a task that has not ended needs it."""
    query = select(Task.id).where(Task.structure_id == structure_id, Task.status.not_in(ENDED)).limit(1)
    return await session.scalar(query) is not None
