"""`/system/alerts`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query

from api_gateway.alerts import service
from api_gateway.alerts.rules import Level
from api_gateway.alerts.schemas import AlertView, Announcement, RuleView, Taken
from api_gateway.auth.credentials import Scope
from api_gateway.envelope import Envelope, Page, ok
from api_gateway.routing import GuardedRoute, Using, operation

router = APIRouter(prefix="/system/alerts", tags=["system"], route_class=GuardedRoute)


@router.get("/rules", **operation(Scope.READ))
async def list_rules(using: Using) -> Envelope[list[RuleView]]:
    """List the rules: thresholds, Prefect's automation for each, and whether it is muted there."""
    return ok(await service.every_rule(using))


@router.get("/active", **operation(Scope.READ))
async def list_active(using: Using) -> Envelope[list[AlertView]]:
    """List the alerts that last, oldest first."""
    return ok(await service.active(using))


@router.get("/history", **operation(Scope.READ, 30006, 40002))
async def list_history(
    using: Using,
    kind: Annotated[str | None, Query(alias="type", max_length=64, description="A rule's type.")] = None,
    level: Annotated[Level | None, Query()] = None,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Envelope[Page[AlertView]]:
    """List all alerts, newest first."""
    return ok(await service.history(using, kind=kind, level=level, page=page, page_size=page_size))


@router.post("/sink", include_in_schema=False)
async def take(
    using: Using, told: Announcement, x_mofsim_alert_secret: Annotated[str | None, Header()] = None
) -> Envelope[Taken]:
    """Take what one of Prefect's automations tells; they know the secret of the header."""
    return ok(await service.take(using, told, x_mofsim_alert_secret))
