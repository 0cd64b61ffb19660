"""Alerts, and the gateway processes whose answers are timed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api_gateway.database.models.base import Base, CreatedAt, Identifier, Json


class Alert(Base):
    """A condition that was told of, from its beginning to its end."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_active",
            "type",
            "subject",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_alerts_raised_at_id", "raised_at", "id"),
        Index(
            "ix_alerts_untold",
            "raised_at",
            postgresql_where=text(
                "raise_told_at IS NULL OR (resolved_at IS NOT NULL AND resolve_told_at IS NULL)"
            ),
        ),
    )

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    type: Mapped[str]
    """The rule's."""
    subject: Mapped[str]
    """What it is about: `GPU 3`, a model's name, …"""
    level: Mapped[str]
    message: Mapped[str]
    details: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    raised_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    via: Mapped[str]
    """`prefect`, or `monitor` when Prefect was away."""
    raise_told_at: Mapped[datetime | None]
    """When the channels had the beginning."""
    resolve_told_at: Mapped[datetime | None]


class GatewayProcess(Base):
    """A gateway process, how it answered lately, and that it lives."""

    __tablename__ = "gateway_processes"

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[CreatedAt]
    reported_at: Mapped[CreatedAt]
    requests: Mapped[int]
    """In the window of `alerts.api_window_seconds`."""
    p99_seconds: Mapped[float | None]
    """99th percentile of the time to the answer's first byte; None for too few requests."""
