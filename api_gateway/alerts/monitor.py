"""The monitor: looks at the conditions and tells Prefect, whose automations decide what is an alert.

An event is not the alert: the automation calls the gateway's sink, and what the sink stores is the
alert. So an operator mutes a rule by pausing its automation. What must not depend on Prefect:

* while Prefect is away, or has no automation for a rule, the monitor stores the alert itself;
* Prefect calls a webhook once, whatever is answered: an event nothing came of is emitted again;
* the end of a stored alert is a fact, which the monitor stores when no automation told of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from api_gateway.alerts import conditions, repository
from api_gateway.alerts.chores import CHORE_FAILED, ChoreWatch
from api_gateway.alerts.conditions import DiskFree, Reading
from api_gateway.alerts.rules import CLEARED, Rule, rules
from api_gateway.alerts.schemas import Announcement
from api_gateway.database import Database
from api_gateway.database.models import Alert
from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.orchestrator import Orchestrator, OrchestratorRefusedError, event
from mof_benchmark.identifiers import new_id
from mofsim_settings import Settings

log = structlog.get_logger("gateway.alerts")

_LONGEST_RESEND_SECONDS = 600.0
_AWAY = (OrchestratorUnavailableError, OrchestratorRefusedError)

Key = tuple[str, str]


@dataclass
class _Told:
    """What Prefect was told, and when it is told again."""

    announcement: Announcement
    due_at: float = 0.0
    wait: float = field(default=0.0)

    @property
    def first(self) -> bool:
        return self.wait == 0.0


class Monitor:
    """Watches until cancelled. At most one works at a time (see `scheduling.engine`).

    Parameters
    ----------
    disk_free
        Looks at the disk.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        orchestrator: Orchestrator,
        settings: Settings,
        *,
        disk_free: DiskFree = conditions.disk_free_GB,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._settings = settings
        self._rules = rules(settings)
        self._disk_free = disk_free
        self._clock = clock
        self._started_at = clock()
        self._prefect_seen_at = self._started_at
        self._raising: dict[Key, _Told] = {}
        self._ending: dict[Key, _Told] = {}
        self._chores = ChoreWatch(orchestrator, settings, clock)

    async def run(self) -> None:
        while True:
            await self.check_once()
            await asyncio.sleep(self._settings.alerts.check_seconds)

    async def check_once(self) -> None:
        """One look at everything, and what follows from it."""
        observed = await self._observe()
        async with self._database.begin() as session:
            active = {(alert.type, alert.subject): alert for alert in await repository.active(session)}
        observed += await self._observe_chores(active.keys() | self._raising.keys())
        readings = {reading.key: reading for reading in observed}
        for key in active:
            self._raising.pop(key, None)
        for key in [key for key in self._ending if key not in active and not self._ending[key].first]:
            del self._ending[key]
        for key, reading in readings.items():
            self._judge(key, reading, active.get(key))
        for key in (active.keys() | self._raising.keys()) - readings.keys():
            self._end(key, active.get(key))
        for told in [*self._raising.values(), *self._ending.values()]:
            if self._clock() >= told.due_at:
                await self._tell(told)

    async def _observe(self) -> list[Reading]:
        settings = self._settings
        listening = self._listening_seconds()
        silence = max(0.0, listening)
        free = await asyncio.to_thread(conditions.disk_reading, settings, self._disk_free)
        if listening <= 0 or await self._orchestrator.healthy():
            self._prefect_seen_at = self._clock()
        async with self._database.begin() as session:
            return [
                *await conditions.gpu_readings(session, settings, silence_from_seconds_ago=silence),
                *await conditions.worker_readings(session, settings, silence_from_seconds_ago=silence),
                await conditions.queue_reading(session),
                *await conditions.failure_readings(session),
                free,
                await conditions.api_reading(session, settings),
                await conditions.expiry_reading(session, settings),
                Reading("orchestrator_offline", "Prefect", self._clock() - self._prefect_seen_at),
            ]

    async def _observe_chores(self, told: Iterable[Key]) -> list[Reading]:
        return await self._chores.readings(
            (subject for kind, subject in told if kind == CHORE_FAILED),
            lateness_from_seconds_ago=self._listening_seconds(),
        )

    def _listening_seconds(self) -> float:
        """Since when silence means something, s."""
        return self._clock() - self._started_at - self._settings.alerts.startup_grace_seconds

    def _judge(self, key: Key, reading: Reading, active: Alert | None) -> None:
        if reading.value is None:
            return
        rule = self._rules[reading.type]
        known = active is not None or key in self._raising
        if rule.holds(reading.value, known):
            self._ending.pop(key, None)
            if not known:
                self._raising[key] = _Told(self._announcement(rule, reading, reading.value))
        elif known:
            self._end(key, active)

    def _end(self, key: Key, active: Alert | None) -> None:
        raising = self._raising.pop(key, None)
        if key in self._ending:
            return
        if active is not None:
            self._ending[key] = _Told(_announcement_of(active).ended())
        elif raising is not None and not raising.first:
            # It may be on its way through Prefect: its end follows it.
            self._ending[key] = _Told(raising.announcement.ended())

    def _announcement(self, rule: Rule, reading: Reading, value: float) -> Announcement:
        return Announcement(
            alert_id=new_id("alert"),
            level=rule.level,
            type=rule.type,
            subject=reading.subject,
            message=rule.message(self._settings.gateway.language, reading.subject, value),
            details=reading.details,
            timestamp=datetime.now(UTC),
            resolved=False,
        )

    async def _tell(self, told: _Told) -> None:
        """Emit the event; where no automation can answer it, store the alert here."""
        again = not told.first
        resend = self._settings.alerts.resend_seconds
        told.wait = min(2 * told.wait or resend, _LONGEST_RESEND_SECONDS)
        told.due_at = self._clock() + told.wait
        announcement = told.announcement
        rule = self._rules.get(announcement.type)
        if rule is None or rule.event is None or (again and announcement.resolved):
            await self._store(announcement)
            return
        name = rule.event + (CLEARED if announcement.resolved else "")
        try:
            await self._orchestrator.emit(
                event(name, announcement.subject, announcement.model_dump(mode="json"))
            )
            if not again or rule.automation in await self._orchestrator.automations("mofsim: "):
                return
            log.warning("no automation for this rule", rule=rule.type)
        except _AWAY as error:
            log.warning("Prefect cannot be told", rule=rule.type, error=str(error))
        await self._store(announcement)

    async def _store(self, announcement: Announcement) -> None:
        async with self._database.begin() as session:
            stored = await repository.find(session, announcement.alert_id)
            # The end of what never became an alert, a muted one for instance, is none either.
            if announcement.resolved and stored is None:
                return
            await repository.record(session, announcement, "monitor")


def _announcement_of(alert: Alert) -> Announcement:
    return Announcement(
        alert_id=alert.id,
        level=alert.level,
        type=alert.type,
        subject=alert.subject,
        message=alert.message,
        details=alert.details,
        timestamp=alert.raised_at,
        resolved=False,
    )
