"""Webhook deliveries: the outbox, written by triggers in the transaction of the event itself."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from api_gateway.database.models.base import Base, CreatedAt, Identifier, text_enum


class DeliveryStatus(StrEnum):
    """State of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Base):
    """One event for one address; retried under the same identifier."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due", "next_attempt_at", postgresql_where=text("status = 'pending'")),
        Index("ix_webhook_deliveries_task_id", "task_id", "created_at"),
    )

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    task_id: Mapped[Identifier] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    event: Mapped[str]
    url: Mapped[str]
    body: Mapped[str]
    """The exact text that is sent and signed, the same at every retry."""
    status: Mapped[DeliveryStatus] = mapped_column(
        text_enum(DeliveryStatus, "status"), server_default=text("'pending'")
    )
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]
    delivered_at: Mapped[datetime | None]


class WebhookAttempt(Base):
    """One try of a delivery."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[Identifier] = mapped_column(
        ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[CreatedAt]
    status_code: Mapped[int | None]
    latency_ms: Mapped[float | None]
    error: Mapped[str | None]
