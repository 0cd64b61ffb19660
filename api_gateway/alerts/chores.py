"""What the rule of the chores looks at, asked of Prefect now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from api_gateway.alerts.conditions import Reading
from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.orchestrator import MAINTENANCE_POOL, Chore, Orchestrator, OrchestratorRefusedError
from mofsim_settings import Settings

CHORE_FAILED = "chore_failed"
_CHECKS_PER_QUESTION = 5
"""Chores run once a day: not every look at the conditions needs Prefect's answer."""
_ANSWER_SECONDS = 5.0
_LONGEST_REASON = 500


class ChoreWatch:
    """Remembers how the chores went while nobody asks anew.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, orchestrator: Orchestrator, settings: Settings, clock: Callable[[], float]) -> None:
        self._orchestrator = orchestrator
        self._late_seconds = settings.alerts.chore_late_seconds
        self._question_seconds = _CHECKS_PER_QUESTION * settings.alerts.check_seconds
        self._clock = clock
        self._due_at = clock()
        self._chores: list[Chore] | None = None

    async def readings(self, told: Iterable[str], *, lateness_from_seconds_ago: float) -> list[Reading]:
        """One reading for each chore; while Prefect is away, an empty one for those told of.

        Parameters
        ----------
        told
            Chores whose alert lasts, or is on its way.
        lateness_from_seconds_ago
            A run is late from then at the earliest, s: before, nobody could start it.
        """
        if self._clock() >= self._due_at:
            self._chores = await self._ask()
            self._due_at = self._clock() + self._question_seconds
        if self._chores is None:
            return [Reading(CHORE_FAILED, name, None) for name in told]
        return [self._reading(chore, lateness_from_seconds_ago) for chore in self._chores]

    async def _ask(self) -> list[Chore] | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._orchestrator.chores()
        except (TimeoutError, OrchestratorUnavailableError, OrchestratorRefusedError):
            return None

    def _reading(self, chore: Chore, watching_seconds: float) -> Reading:
        late_seconds = 0.0
        if chore.late_since is not None:
            late_seconds = (datetime.now(UTC) - chore.late_since).total_seconds()
        late = min(late_seconds, watching_seconds) > self._late_seconds
        known = late or chore.flow_run_id is not None
        details = {
            "chore": chore.name,
            "deployment": f"{chore.name}/{MAINTENANCE_POOL}",
            "failed": chore.failed,
            "late": late,
            "last_run_id": None if chore.flow_run_id is None else str(chore.flow_run_id),
            "last_ended_at": None if chore.ended_at is None else chore.ended_at.isoformat(),
            "reason": chore.message[:_LONGEST_REASON],
        }
        return Reading(CHORE_FAILED, chore.name, float(chore.failed or late) if known else None, details)
