"""Passes requests to stop on to Prefect, as soon as they are made."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import func, select, update

from api_gateway.database import Database
from api_gateway.database.models import Task, TaskAttempt
from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.orchestrator import AttemptKey, Orchestrator, OrchestratorRefusedError, RunNews, RunState
from api_gateway.scheduling.transitions import apply_news
from mofsim_settings import Settings

log = structlog.get_logger("gateway.stopper")


class Stopper:
    """Hears `mofsim_attempt` and puts the run in Cancelling. What it misses the reconciler repeats."""

    def __init__(self, database: Database, orchestrator: Orchestrator, settings: Settings) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._settings = settings

    async def run(self) -> None:
        """Pass on until cancelled."""
        async with self._database.connection("mofsim_attempt") as connection, asyncio.TaskGroup() as group:
            async for note in connection.notifies():
                key = AttemptKey.parse(note.payload)
                if key is not None:
                    group.create_task(pass_on_stop(self._database, self._orchestrator, self._settings, key))
        raise ConnectionError("the database closed the listening connection")


async def pass_on_stop(
    database: Database, orchestrator: Orchestrator, settings: Settings, key: AttemptKey
) -> None:
    """Tell Prefect that the attempt must stop, if that was asked for and it does not know yet.

    An attempt whose run is not made yet is left to the placer, which calls this afterwards.
    """
    async with database.begin() as session:
        flow_run_id = await session.scalar(
            select(TaskAttempt.flow_run_id)
            .join(Task, (Task.id == TaskAttempt.task_id) & (Task.attempt == TaskAttempt.attempt))
            .where(
                TaskAttempt.task_id == key.task_id,
                TaskAttempt.attempt == key.attempt,
                TaskAttempt.ended_at.is_(None),
                TaskAttempt.stop_sent_at.is_(None),
                Task.stop_requested_at.is_not(None),
            )
        )
    if flow_run_id is None:
        return
    try:
        state = await orchestrator.stop_run(flow_run_id)
    except (OrchestratorUnavailableError, OrchestratorRefusedError) as error:
        log.warning("stop not passed on yet", attempt=str(key), error=str(error))
        return
    async with database.begin() as session:
        now = await session.scalar(
            update(TaskAttempt)
            .where(TaskAttempt.task_id == key.task_id, TaskAttempt.attempt == key.attempt)
            .values(stop_sent_at=func.clock_timestamp())
            .returning(TaskAttempt.stop_sent_at)
        )
    if now is not None and (state is None or state.terminal):
        # A run that never started is Cancelled at once; one that Prefect has lost is as good as that.
        news = RunNews(key=key, flow_run_id=flow_run_id, state=state or RunState.CANCELLED, at=now)
        async with database.begin() as session:
            await apply_news(session, news, settings.scheduling)
