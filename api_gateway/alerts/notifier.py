"""Tells the channels of stored alerts: CRITICAL at once, WARNING gathered, INFO only in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from api_gateway.alerts import channels, repository
from api_gateway.alerts.rules import Level
from api_gateway.alerts.schemas import AlertDocument
from api_gateway.alerts.service import document
from api_gateway.database import Database
from api_gateway.database.models import Alert
from api_gateway.orchestrator import Orchestrator
from mof_benchmark.identifiers import new_id
from mofsim_settings import Settings

log = structlog.get_logger("gateway.alerts")

_LOOK_SECONDS = 1.0
Phase = tuple[str, bool]


class Notifier:
    """Works until cancelled; at most one at a time (see `scheduling.engine`).

    What it has told of is remembered in the database after the channels had it: a crash repeats a
    notification, under the same `alert_id`, and loses none.
    """

    def __init__(self, database: Database, _: Orchestrator, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._sending: dict[Phase, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            async with self._database.connection("mofsim_alert") as connection:
                while True:
                    await self.tell_once()
                    async for _ in connection.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                        pass
        finally:
            sending = list(self._sending.values())
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def tell_once(self) -> None:
        """Start telling of what is due."""
        async with self._database.begin() as session:
            untold = [
                alert for alert in await repository.untold(session) if _phase(alert) not in self._sending
            ]
        gathered: list[Alert] = []
        for alert in untold:
            if alert.level == Level.WARNING:
                gathered.append(alert)
            else:
                self._start([alert])
        if gathered:
            oldest = min(_since(alert) for alert in gathered)
            age = (datetime.now(UTC) - oldest).total_seconds()
            if age >= self._settings.alerts.aggregate_seconds:
                self._start(gathered)

    def _start(self, alerts: Sequence[Alert]) -> None:
        task = asyncio.create_task(self._tell(alerts), name=f"telling of {len(alerts)} alerts")
        for alert in alerts:
            phase = _phase(alert)
            self._sending[phase] = task
            task.add_done_callback(lambda _, phase=phase: self._sending.pop(phase, None))  # type: ignore[misc]

    async def _tell(self, alerts: Sequence[Alert]) -> None:
        documents = [document(alert) for alert in alerts]
        message = documents[0] if len(documents) == 1 else summary(documents)
        try:
            await channels.deliver(self._settings, message.model_dump(mode="json"))
            async with self._database.begin() as session:
                for resolved in (False, True):
                    told = [alert.id for alert in alerts if (alert.resolved_at is not None) == resolved]
                    await repository.mark_told(session, told, resolved=resolved)
        except Exception:
            # Nobody awaits this: the failure must not vanish. The next look tells again.
            log.exception("notification failed", alert_id=message.alert_id)


def summary(documents: Sequence[AlertDocument]) -> AlertDocument:
    """Several warnings as one notification, in the shape of one alert."""
    details: dict[str, Any] = {"alerts": [one.model_dump(mode="json") for one in documents]}
    return AlertDocument(
        alert_id=new_id("alert"),
        level=Level.WARNING,
        type="summary",
        message="; ".join(one.message for one in documents)[:2000],
        details=details,
        timestamp=max(one.timestamp for one in documents),
        resolved=all(one.resolved for one in documents),
    )


def _phase(alert: Alert) -> Phase:
    return alert.id, alert.resolved_at is not None


def _since(alert: Alert) -> datetime:
    return alert.resolved_at or alert.raised_at
