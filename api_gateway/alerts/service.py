"""Alerts and rules as they are shown, and the sink that Prefect's automations call."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from typing import cast

from api_gateway.alerts import repository
from api_gateway.alerts.repository import Via
from api_gateway.alerts.rules import Level, Rule, rules
from api_gateway.alerts.schemas import AlertDocument, AlertFilter, AlertView, Announcement, RuleView, Taken
from api_gateway.database.models import Alert
from api_gateway.envelope import Page
from api_gateway.errors import AlertNotFoundError, InvalidKeyError, OrchestratorUnavailableError
from api_gateway.orchestrator import Orchestrator, OrchestratorRefusedError
from api_gateway.services import Services
from mofsim_settings import Settings

_ANSWER_SECONDS = 2.0


def document(alert: Alert) -> AlertDocument:
    """An alert in the format of section 7.3."""
    return AlertDocument(
        alert_id=alert.id,
        level=Level(alert.level),
        type=alert.type,
        message=alert.message,
        details=alert.details,
        timestamp=alert.resolved_at or alert.raised_at,
        resolved=alert.resolved_at is not None,
    )


def view(alert: Alert) -> AlertView:
    return AlertView(
        **document(alert).model_dump(),
        subject=alert.subject,
        raised_at=alert.raised_at,
        resolved_at=alert.resolved_at,
        via=cast(Via, alert.via),
    )


async def take(services: Services, told: Announcement, secret: str | None) -> Taken:
    """Store what an automation tells of an alert.

    Raises
    ------
    InvalidKeyError
        When the caller does not know the sink's secret.
    AlertNotFoundError
        When there is no such rule.
    """
    expected = services.settings.alert_sink_secret
    if not hmac.compare_digest((secret or "").encode(), expected.encode()):
        raise InvalidKeyError("The alert sink's secret is missing or wrong")
    if told.type not in rules(services.settings):
        raise AlertNotFoundError(f"There is no rule {told.type!r}")
    async with services.database.begin() as session:
        new = await repository.record(session, told, "prefect")
    return Taken(alert_id=told.alert_id, new=new)


async def active(services: Services) -> list[AlertView]:
    async with services.database.reading() as session:
        return [view(alert) for alert in await repository.active(session)]


async def history(services: Services, wanted: AlertFilter) -> Page[AlertView]:
    """Raises `AlertNotFoundError` for a rule that does not exist."""
    if wanted.type is not None and wanted.type not in rules(services.settings):
        raise AlertNotFoundError(f"There is no rule {wanted.type!r}")
    async with services.database.reading() as session:
        found, total = await repository.history(session, wanted)
    return Page(items=[view(alert) for alert in found], pagination=wanted.pagination(total))


async def every_rule(services: Services) -> list[RuleView]:
    """The rules, and whether operators have muted them in Prefect."""
    settings = services.settings
    async with services.database.reading() as session:
        counts = Counter(alert.type for alert in await repository.active(session))
    enabled = await _automations(settings)
    return [
        RuleView(
            type=rule.type,
            level=rule.level,
            description=rule.text_zh if settings.gateway.language == "zh" else rule.text_en,
            threshold=rule.threshold,
            clears_at=rule.clears_at,
            side=rule.side,
            unit=rule.unit,
            event=rule.event,
            automation=rule.automation,
            muted=_muted(rule, enabled),
            active=counts[rule.type],
        )
        for rule in rules(settings).values()
    ]


def _muted(rule: Rule, enabled: dict[str, bool]) -> bool | None:
    if rule.automation is None:
        return False
    return not enabled[rule.automation] if rule.automation in enabled else None


async def _automations(settings: Settings) -> dict[str, bool]:
    """Whether each automation is enabled; empty while Prefect is away."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), Orchestrator.from_settings(settings) as orchestrator:
            return await orchestrator.automations("mofsim: ")
    except (TimeoutError, OrchestratorUnavailableError, OrchestratorRefusedError):
        return {}
