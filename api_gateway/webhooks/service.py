"""The history of a task's webhooks."""

from __future__ import annotations

from collections import defaultdict

from api_gateway.audit import record
from api_gateway.auth.guard import Caller
from api_gateway.database import Database
from api_gateway.database.models import DeliveryStatus, WebhookDelivery
from api_gateway.errors import TaskNotFoundError
from api_gateway.tasks import repository as tasks
from api_gateway.webhooks import repository
from api_gateway.webhooks.addresses import without_query
from api_gateway.webhooks.schemas import Delivery, DeliveryAttempt


async def history(database: Database, task_id: str) -> list[Delivery]:
    """Every delivery of a task with every try.

    Raises
    ------
    TaskNotFoundError
    """
    async with database.reading() as session:
        if await tasks.find(session, task_id) is None:
            raise TaskNotFoundError(f"There is no task {task_id!r}")
        deliveries = await repository.of_task(session, task_id)
        attempts = await repository.attempts_of(session, [delivery.id for delivery in deliveries])
    tries: dict[str, list[DeliveryAttempt]] = defaultdict(list)
    for attempt in attempts:
        tries[attempt.delivery_id].append(
            DeliveryAttempt(
                number=attempt.number,
                at=attempt.at,
                status_code=attempt.status_code,
                latency_ms=attempt.latency_ms,
                error=attempt.error,
            )
        )
    return [_view(delivery, tries[delivery.id]) for delivery in deliveries]


async def redeliver(database: Database, task_id: str, delivery_id: str, caller: Caller) -> list[Delivery]:
    """Send a delivery again, under the same identifier, with a new round of retries.

    Raises
    ------
    TaskNotFoundError
        When there is no such task or it has no such delivery.
    """
    async with database.begin() as session:
        if not await repository.send_again(session, task_id, delivery_id):
            raise TaskNotFoundError(f"Task {task_id!r} has no delivery {delivery_id!r}")
        record(session, caller, "webhook.redeliver", delivery_id, task_id=task_id)
    return [delivery for delivery in await history(database, task_id) if delivery.delivery_id == delivery_id]


def _view(delivery: WebhookDelivery, tries: list[DeliveryAttempt]) -> Delivery:
    pending = delivery.status is DeliveryStatus.PENDING
    return Delivery(
        delivery_id=delivery.id,
        event=delivery.event,
        url=without_query(delivery.url),
        status=delivery.status,
        created_at=delivery.created_at,
        next_attempt_at=delivery.next_attempt_at if pending else None,
        delivered_at=delivery.delivered_at,
        attempts=tries,
    )
