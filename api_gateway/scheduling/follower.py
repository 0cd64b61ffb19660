"""Follows Prefect's runs: every state that an event brings moves its task, at once."""

from __future__ import annotations

import asyncio

import structlog
from sqlalchemy import select

from api_gateway.database import Database
from api_gateway.database.models import Task, TaskAttempt, TaskStatus
from api_gateway.orchestrator import Orchestrator, RunNews, RunState, run_events
from api_gateway.scheduling.transitions import apply_news
from mofsim_settings import Settings

log = structlog.get_logger("gateway.follower")

_PARALLEL = 8
"""Moves made at the same time; news of one task may overtake each other, which does no harm."""

_WITHOUT_MEANING = frozenset({RunState.SCHEDULED, RunState.PENDING, RunState.PAUSED})


class Follower:
    """The only writer of a bound task's status (with the reconciler, through the same function)."""

    def __init__(self, database: Database, orchestrator: Orchestrator, settings: Settings) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._settings = settings

    async def run(self) -> None:
        """Follow until the stream breaks, which raises: whoever runs this subscribes again."""
        places = asyncio.Semaphore(_PARALLEL)

        async def follow(news: RunNews) -> None:
            try:
                await self.apply(news)
            finally:
                places.release()

        async with run_events(self._orchestrator.api_url) as events, asyncio.TaskGroup() as moves:
            log.info("following Prefect's events")
            # What happened before the subscription stood.
            await self.catch_up()
            async for news in events:
                if news.state not in _WITHOUT_MEANING:
                    await places.acquire()
                    moves.create_task(follow(news))
        raise ConnectionError("Prefect closed the stream of events")

    async def apply(self, news: RunNews) -> None:
        """Move the task that the news is about."""
        async with self._database.begin() as session:
            moved = await apply_news(session, news, self._settings.scheduling)
        if moved:
            log.info("run news", attempt=str(news.key), state=news.state.value)

    async def catch_up(self) -> list[RunNews]:
        """Ask Prefect for the states of all bound attempts, and apply them.

        Returns
        -------
        The states, also those that changed nothing.
        """
        async with self._database.begin() as session:
            ids = (
                await session.scalars(
                    select(TaskAttempt.flow_run_id)
                    .join(Task, (Task.id == TaskAttempt.task_id) & (Task.attempt == TaskAttempt.attempt))
                    .where(
                        Task.status.in_([TaskStatus.ASSIGNED, TaskStatus.RUNNING]),
                        TaskAttempt.flow_run_id.is_not(None),
                    )
                )
            ).all()
        found = await self._orchestrator.read_runs([flow_run_id for flow_run_id in ids if flow_run_id])
        for news in found.values():
            await self.apply(news)
        return list(found.values())
