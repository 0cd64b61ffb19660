"""Alerts in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.alerts.schemas import AlertFilter, Announcement
from api_gateway.database.models import Alert

Via = Literal["prefect", "monitor"]


async def record(session: AsyncSession, told: Announcement, via: Via) -> bool:
    """Store what was told of an alert, in whatever order and however often it arrives.

    Returns
    -------
    Whether that was news.
    """
    news = False
    if told.resolved:
        updated = await session.execute(
            update(Alert)
            .where(Alert.id == told.alert_id, Alert.resolved_at.is_(None))
            .values(resolved_at=func.greatest(told.timestamp, Alert.raised_at))
            .returning(Alert.id)
        )
        news = updated.first() is not None
    if not news:
        inserted = await session.execute(
            insert(Alert)
            .values(
                id=told.alert_id,
                type=told.type,
                subject=told.subject,
                level=told.level,
                message=told.message,
                details=told.details,
                raised_at=told.timestamp,
                resolved_at=told.timestamp if told.resolved else None,
                via=via,
            )
            .on_conflict_do_nothing()
            .returning(Alert.id)
        )
        news = inserted.first() is not None
    if news:
        await session.execute(text("SELECT pg_notify('mofsim_alert', '')"))
    return news


async def active(session: AsyncSession) -> Sequence[Alert]:
    query = select(Alert).where(Alert.resolved_at.is_(None)).order_by(Alert.raised_at, Alert.id)
    return (await session.scalars(query)).all()


async def history(session: AsyncSession, wanted: AlertFilter) -> tuple[Sequence[Alert], int]:
    """A page of alerts, newest first, and how many there are."""
    conditions = [
        column == value
        for column, value in ((Alert.type, wanted.type), (Alert.level, wanted.level))
        if value is not None
    ]
    total = await session.scalar(select(func.count()).select_from(Alert).where(*conditions))
    found = await session.scalars(
        select(Alert)
        .where(*conditions)
        .order_by(Alert.raised_at.desc(), Alert.id.desc())
        .limit(wanted.page_size)
        .offset(wanted.offset)
    )
    return found.all(), total or 0


async def find(session: AsyncSession, alert_id: str) -> Alert | None:
    return await session.get(Alert, alert_id)


async def untold(session: AsyncSession) -> Sequence[Alert]:
    """Alerts whose beginning or end the channels have not had yet."""
    query = (
        select(Alert)
        .where(
            or_(
                Alert.raise_told_at.is_(None),
                Alert.resolved_at.is_not(None) & Alert.resolve_told_at.is_(None),
            )
        )
        .order_by(Alert.raised_at, Alert.id)
    )
    return (await session.scalars(query)).all()


async def mark_told(session: AsyncSession, alert_ids: Sequence[str], *, resolved: bool) -> None:
    """Remember that the channels had the beginning of alerts, or with `resolved` all of them."""
    statement = update(Alert).where(Alert.id.in_(alert_ids))
    if resolved:
        statement = statement.values(resolve_told_at=func.clock_timestamp())
    await session.execute(
        statement.values(raise_told_at=func.coalesce(Alert.raise_told_at, func.clock_timestamp()))
    )
