"""The outbox: claimed with a lease, so that a crash of a sender delays a delivery but loses none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import DeliveryStatus, WebhookAttempt, WebhookDelivery

LEASE_SECONDS = 30.0
"""Longer than a try can take; a sender that died gives its deliveries back after it."""


@dataclass(frozen=True)
class Claimed:
    """A delivery to be tried now."""

    id: str
    task_id: str
    event: str
    url: str
    body: str
    attempts: int
    """Tries of this round, this one included."""
    secret_encrypted: bytes | None
    retry_times: int
    retry_interval_seconds: float


# The first tries of one task go out in the order of its events; a retry holds nothing back.
_CLAIM = text(
    """
    WITH due AS (
        SELECT d.id FROM webhook_deliveries d
        WHERE d.status = 'pending' AND d.next_attempt_at <= clock_timestamp()
            AND NOT d.task_id = ANY (:busy)
            AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries e
                WHERE e.task_id = d.task_id AND e.status = 'pending' AND e.attempts = 0 AND e.id < d.id
            )
        ORDER BY d.next_attempt_at
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_deliveries d
    SET attempts = d.attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => :lease)
    FROM due, tasks t
    WHERE d.id = due.id AND t.id = d.task_id
    RETURNING d.id, d.task_id, d.event, d.url, d.body, d.attempts,
        t.notify_secret_encrypted AS secret_encrypted, t.notify_retry_times AS retry_times,
        t.notify_retry_interval_seconds AS retry_interval_seconds
    """
)
_NEXT = text(
    """
    SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::float8
    FROM webhook_deliveries WHERE status = 'pending'
    """
)


async def claim(session: AsyncSession, busy: Sequence[str], limit: int) -> list[Claimed]:
    """Take deliveries that are due, of tasks other than `busy`."""
    rows = await session.execute(_CLAIM, {"busy": list(busy), "limit": limit, "lease": LEASE_SECONDS})
    return [Claimed(**row) for row in rows.mappings()]


async def seconds_to_next(session: AsyncSession) -> float | None:
    """Until the next delivery is due; None when none is pending."""
    seconds: float | None = await session.scalar(_NEXT)
    return seconds


async def add_attempt(
    session: AsyncSession,
    delivery_id: str,
    *,
    status_code: int | None,
    latency_ms: float | None,
    error: str | None,
) -> None:
    """Write a try into the history."""
    last = await session.scalar(
        select(func.max(WebhookAttempt.number)).where(WebhookAttempt.delivery_id == delivery_id)
    )
    session.add(
        WebhookAttempt(
            delivery_id=delivery_id,
            number=(last or 0) + 1,
            status_code=status_code,
            latency_ms=latency_ms,
            error=error,
        )
    )


async def settle(session: AsyncSession, delivery_id: str, status: DeliveryStatus) -> None:
    """The delivery came to its end."""
    delivered_at = func.clock_timestamp() if status is DeliveryStatus.DELIVERED else None
    await session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id)
        .values(status=status, delivered_at=delivered_at)
    )


async def postpone(session: AsyncSession, delivery_id: str, wait_seconds: float) -> None:
    await session.execute(
        text(
            "UPDATE webhook_deliveries SET next_attempt_at ="
            " clock_timestamp() + make_interval(secs => :wait) WHERE id = :id"
        ),
        {"wait": wait_seconds, "id": delivery_id},
    )


async def of_task(session: AsyncSession, task_id: str) -> Sequence[WebhookDelivery]:
    query = (
        select(WebhookDelivery)
        .where(WebhookDelivery.task_id == task_id)
        .order_by(WebhookDelivery.created_at, WebhookDelivery.id)
    )
    return (await session.scalars(query)).all()


async def attempts_of(session: AsyncSession, delivery_ids: Sequence[str]) -> Sequence[WebhookAttempt]:
    query = (
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id.in_(delivery_ids))
        .order_by(WebhookAttempt.number)
    )
    return (await session.scalars(query)).all()


async def send_again(session: AsyncSession, task_id: str, delivery_id: str) -> bool:
    """Begin a new round of tries; false when the task has no such delivery."""
    found = await session.scalar(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.task_id == task_id)
        .values(
            status=DeliveryStatus.PENDING,
            attempts=0,
            next_attempt_at=func.clock_timestamp(),
            delivered_at=None,
        )
        .returning(WebhookDelivery.id)
    )
    if found is None:
        return False
    await session.execute(text("SELECT pg_notify('mofsim_webhook', '')"))
    return True
