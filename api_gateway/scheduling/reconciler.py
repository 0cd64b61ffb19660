"""Heals what went wrong: asks every few seconds what should have happened by now and did not.

Every step is idempotent and works on what the database says, so that it does not matter which
gateway runs it, or whether the last one died in the middle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import TextClause, func, select, text, update

from api_gateway.database import Database
from api_gateway.database.models import AttemptOutcome, StopReason, Task, TaskAttempt
from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.orchestrator import AttemptKey, Orchestrator, OrchestratorRefusedError
from api_gateway.scheduling import memory, queries, transitions
from api_gateway.scheduling.follower import Follower
from api_gateway.scheduling.service import request_stop
from api_gateway.scheduling.stopper import pass_on_stop
from mofsim_settings import Settings

log = structlog.get_logger("gateway.reconciler")

_POLL_SECONDS = 5.0
"""How often Prefect is asked for the states of all bound attempts: events can be missed."""

_STEADY_HEARTBEATS = 3
"""After a pause of our own (a frozen machine) as many heartbeats must have had time to arrive
before silence means anything."""


class Reconciler:
    """Timeouts, lost workers, stops that lead nowhere, open runs, silent hosts, what finished tasks tell."""

    def __init__(self, database: Database, orchestrator: Orchestrator, settings: Settings) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._settings = settings
        self._scheduling = settings.scheduling
        self._follower = Follower(database, orchestrator, settings)
        self._measured_until: datetime | None = None
        self._steady_since = time.monotonic()
        self._last_round = time.monotonic()
        self._last_poll = 0.0

    async def run(self) -> None:
        """Reconcile until cancelled."""
        self._steady_since = self._last_round = time.monotonic()
        while True:
            await self.reconcile_once()
            await asyncio.sleep(self._scheduling.heartbeat_seconds / 2)

    async def reconcile_once(self) -> None:
        """One round of every step; Prefect's absence skips only what needs it."""
        self._notice_a_pause()
        steps: list[Callable[[], Awaitable[None]]] = [
            self.stop_overdue,
            self.end_stops_without_answer,
            self.measure,
        ]
        if self._steady:
            steps += [self.give_up_lost, self.unbind_overtaken, self.condemn_hosts]
        for step in steps:
            await step()
        try:
            await self.pass_on_stops()
            await self.close_runs()
            if time.monotonic() - self._last_poll >= _POLL_SECONDS:
                await self.poll_states()
                self._last_poll = time.monotonic()
        except (OrchestratorUnavailableError, OrchestratorRefusedError) as error:
            log.warning("Prefect is away", error=str(error))

    async def stop_overdue(self) -> None:
        """Ask attempts to stop whose task has used up its time."""
        for row in await self._rows(queries.OVERDUE):
            async with self._database.begin() as session:
                bound = await transitions.lock_bound(session, _key(row))
                if bound is not None:
                    log.info("timeout", attempt=str(_key(row)))
                    await request_stop(session, bound[0], StopReason.TIMEOUT)

    async def end_stops_without_answer(self) -> None:
        """After the grace time a stop takes effect: the task ends, and a host still at it is killed."""
        for row in await self._rows(queries.STOPS_OVER_GRACE, grace=self._scheduling.cancel_grace_seconds):
            async with self._database.begin() as session:
                bound = await transitions.lock_bound(session, _key(row))
                if bound is not None:
                    log.warning("stop without an answer", attempt=str(_key(row)))
                    transitions.stop(*bound)

    async def give_up_lost(self) -> None:
        """Queue again what nobody works on any more."""
        rows = await self._rows(
            queries.SILENT,
            lost_after=self._scheduling.lost_after_seconds,
            grace=self._scheduling.cancel_grace_seconds,
        )
        for row in rows:
            await self._lose(_key(row), row["why"], with_its_host=row["host_is_silent"])

    async def unbind_overtaken(self) -> None:
        """Take back a task that was bound ahead at a slot which did not come free as expected."""
        rows = await self._rows(queries.OVERTAKEN, lost_after=self._scheduling.lost_after_seconds)
        for row in rows:
            async with self._database.begin() as session:
                bound = await transitions.lock_bound(session, _key(row))
                if bound is not None and not transitions.began(bound[1]):
                    transitions.unbind(*bound, "another GPU came free first")

    async def condemn_hosts(self) -> None:
        """Have hosts killed that are silent, or still compute what nobody waits for."""
        async with self._database.begin() as session:
            condemned = await session.execute(
                queries.CONDEMN,
                {
                    "lost_after": self._scheduling.lost_after_seconds,
                    "grace": self._scheduling.cancel_grace_seconds,
                },
            )
            for row in condemned:
                log.error("host must be killed", gpu_id=row.gpu_id, why=row.kill_reason)
                await session.execute(
                    text("SELECT pg_notify('mofsim_kill', :gpu_id)"), {"gpu_id": str(row.gpu_id)}
                )

    async def pass_on_stops(self) -> None:
        """Tell Prefect of stops that were asked for while it was away."""
        for row in await self._rows(queries.STOPS_NOT_SENT):
            await pass_on_stop(self._database, self._orchestrator, self._settings, _key(row))

    async def close_runs(self) -> None:
        """End runs of attempts that were given up, which frees their pools."""
        for row in await self._rows(queries.OPEN_RUNS):
            crashed = row["outcome"] == AttemptOutcome.LOST
            flow_run_id: UUID = row["flow_run_id"]
            state = await self._orchestrator.close_run(
                flow_run_id,
                crashed=crashed,
                message=f"attempt {row['attempt']} was given up: {row['outcome']}",
            )
            if state is None or state.terminal:
                async with self._database.begin() as session:
                    await session.execute(
                        update(TaskAttempt)
                        .where(TaskAttempt.flow_run_id == flow_run_id)
                        .values(run_ended_at=func.clock_timestamp())
                    )

    async def poll_states(self) -> None:
        """Apply states whose events were missed; give up runs that Prefect does not know."""
        asked = await self._rows(queries.BOUND_RUNS, lost_after=self._scheduling.lost_after_seconds)
        known = {news.key for news in await self._follower.catch_up()}
        for row in asked:
            if row["old"] and _key(row) not in known:
                await self._lose(_key(row), "Prefect does not know its run")

    async def measure(self) -> None:
        """Keep durations and memory of like tasks up to date."""
        async with self._database.begin() as session:
            newest = await session.scalar(select(func.max(Task.ended_at)).where(Task.status == "COMPLETED"))
            if newest != self._measured_until:
                await session.execute(queries.MEASURE)
                await memory.calibrate(session)
                self._measured_until = newest

    async def _lose(self, key: AttemptKey, why: str, *, with_its_host: bool = False) -> None:
        async with self._database.begin() as session:
            bound = await transitions.lock_bound(session, key)
            if bound is not None:
                transitions.lose(*bound, why, self._scheduling, with_its_host=with_its_host)

    async def _rows(self, query: TextClause, **values: Any) -> list[dict[str, Any]]:
        async with self._database.begin() as session:
            return [dict(row) for row in (await session.execute(query, values)).mappings()]

    def _notice_a_pause(self) -> None:
        now = time.monotonic()
        if now - self._last_round > _STEADY_HEARTBEATS * self._scheduling.heartbeat_seconds:
            self._steady_since = now
        self._last_round = now

    @property
    def _steady(self) -> bool:
        steady = time.monotonic() - self._steady_since
        return steady >= _STEADY_HEARTBEATS * self._scheduling.heartbeat_seconds


def _key(row: dict[str, Any]) -> AttemptKey:
    return AttemptKey(task_id=row["task_id"], attempt=row["attempt"])
