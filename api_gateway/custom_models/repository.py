"""Uploaded models in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import (
    ENDED,
    CustomModel,
    CustomModelStatus,
    GpuSlot,
    SlotAction,
    SlotCommand,
    Task,
)
from api_gateway.paging import Paging
from mof_benchmark.identifiers import new_id

_PRESENT = CustomModel.deleted_at.is_(None)


async def find(session: AsyncSession, model_id: str, *, lock: bool = False) -> CustomModel | None:
    query = select(CustomModel).where(CustomModel.id == model_id, _PRESENT)
    return (await session.scalars(query.with_for_update() if lock else query)).one_or_none()


async def every(session: AsyncSession) -> Sequence[CustomModel]:
    return (await session.scalars(select(CustomModel).where(_PRESENT).order_by(CustomModel.name))).all()


async def page(session: AsyncSession, wanted: Paging) -> tuple[Sequence[CustomModel], int]:
    """One page, newest first, and how many there are in all."""
    total = await session.scalar(select(func.count()).select_from(CustomModel).where(_PRESENT))
    query = (
        select(CustomModel)
        .where(_PRESENT)
        .order_by(CustomModel.created_at.desc(), CustomModel.id.desc())
        .offset(wanted.offset)
        .limit(wanted.page_size)
    )
    return (await session.scalars(query)).all(), total or 0


async def named(session: AsyncSession, names: Iterable[str], *, hold: bool = False) -> dict[str, CustomModel]:
    """Models by what a client called them, name or identifier; `hold` keeps them from being deleted."""
    wanted = sorted(set(names))
    query = (
        select(CustomModel)
        .where(or_(CustomModel.name.in_(wanted), CustomModel.id.in_(wanted)), _PRESENT)
        .order_by(CustomModel.id)
    )
    found = list(await session.scalars(query.with_for_update(read=True) if hold else query))
    by_name = {model.name: model for model in found}
    return by_name | {model.id: model for model in found if model.id in wanted}


async def is_name_taken(session: AsyncSession, name: str) -> bool:
    query = select(CustomModel.id).where(CustomModel.name == name, _PRESENT)
    return await session.scalar(query) is not None


async def ask_for_validation(session: AsyncSession, model: CustomModel) -> None:
    """Leave it to the first worker that looks."""
    model.status = CustomModelStatus.VALIDATING
    model.validation = None
    model.validation_worker = None
    model.validation_attempts = 0
    await session.flush()
    await session.execute(text("SELECT pg_notify('mofsim_model', :id)"), {"id": model.id})


async def is_in_use(session: AsyncSession, name: str) -> bool:
    """Whether a task that has not ended needs it."""
    query = select(Task.id).where(Task.model == name, Task.status.not_in(ENDED)).limit(1)
    return await session.scalar(query) is not None


async def mark_deleted(session: AsyncSession, model: CustomModel, request_id: str) -> None:
    """Nobody finds it any more, and every host is asked to let it go.

    Also those that do not report it: they may have loaded it since.
    """
    model.deleted_at = datetime.now(UTC)
    for slot in await session.scalars(select(GpuSlot)):
        session.add(
            SlotCommand(
                id=new_id("cmd"),
                gpu_id=slot.gpu_id,
                action=SlotAction.UNLOAD,
                model=model.name,
                request_id=request_id,
            )
        )
    await session.flush()
