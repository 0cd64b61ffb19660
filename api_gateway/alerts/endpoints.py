"""`/system/alerts`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query

from api_gateway.alerts import service
from api_gateway.alerts.schemas import AlertFilter, AlertView, Announcement, RuleView, Taken
from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.paging import Paging
from api_gateway.routing import GuardedRoute, Using, operation

router = APIRouter(prefix="/system/alerts", tags=["system"], route_class=GuardedRoute)


@router.get("/rules", **operation(Scope.READ, 40002))
async def list_rules(using: Using, wanted: Annotated[Paging, Query()]) -> Envelope[Page[RuleView]]:
    """List the rules: thresholds, Prefect's automation for each, and whether it is muted there."""
    return ok(wanted.cut(await service.every_rule(using)))


@router.get("/active", **operation(Scope.READ, 40002))
async def list_active(using: Using, wanted: Annotated[Paging, Query()]) -> Envelope[Page[AlertView]]:
    """List the alerts that last, oldest first."""
    return ok(wanted.cut(await service.active(using)))


@router.get("/history", **operation(Scope.READ, 30006, 40002))
async def list_history(using: Using, wanted: Annotated[AlertFilter, Query()]) -> Envelope[Page[AlertView]]:
    """List all alerts, newest first."""
    return ok(await service.history(using, wanted))


@router.post("/sink", include_in_schema=False)
async def take(
    using: Using, told: Announcement, x_mofsim_alert_secret: Annotated[str | None, Header()] = None
) -> Envelope[Taken]:
    """Take what one of Prefect's automations tells; they know the secret of the header."""
    return ok(await service.take(using, told, x_mofsim_alert_secret))
