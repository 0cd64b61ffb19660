"""`/tasks/{task_id}/webhooks`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.paging import Paging
from api_gateway.routing import By, GuardedRoute, Using, operation
from api_gateway.webhooks import service
from api_gateway.webhooks.schemas import Delivery

router = APIRouter(prefix="/tasks/{task_id}/webhooks", tags=["webhooks"], route_class=GuardedRoute)
TaskId = Annotated[str, Path(max_length=64, description="`task_…`")]


@router.get("", **operation(Scope.READ, 30003))
async def list_deliveries(
    using: Using, task_id: TaskId, wanted: Annotated[Paging, Query()]
) -> Envelope[Page[Delivery]]:
    """Show each webhook of a task with every try: status, latency, the receiver's answer."""
    return ok(wanted.cut(await service.history(using.database, task_id)))


@router.post("/{delivery_id}/redeliver", status_code=202, **operation(Scope.WRITE, 30003))
async def redeliver(
    using: Using,
    by: By,
    task_id: TaskId,
    delivery_id: Annotated[str, Path(max_length=64, description="`dlv_…`")],
) -> Envelope[Delivery]:
    """Send a webhook again under the same delivery id."""
    return ok((await service.redeliver(using.database, task_id, delivery_id, by))[0], 202)
