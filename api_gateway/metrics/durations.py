"""Waiting and running times of the tasks that end, observed once each."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database import Database
from api_gateway.database.models import Priority
from api_gateway.metrics import instruments
from api_gateway.orchestrator import Orchestrator
from mofsim_settings import Settings

_LOOK_SECONDS = 5.0

# By jumps through the index on (model, ended_at), as few rows as have ended lately.
_ENDED = text("""
    WITH RECURSIVE models AS (
        (SELECT model FROM tasks WHERE ended_at IS NOT NULL ORDER BY model LIMIT 1)
        UNION ALL
        SELECT (
            SELECT t.model FROM tasks t WHERE t.ended_at IS NOT NULL AND t.model > models.model
            ORDER BY t.model LIMIT 1
        ) FROM models WHERE models.model IS NOT NULL
    )
    SELECT t.id, t.task_type, t.model, t.priority, t.status,
        extract(epoch FROM t.started_at - t.created_at) AS waited,
        extract(epoch FROM t.ended_at - t.started_at) AS ran
    FROM models JOIN tasks t ON t.model = models.model
    WHERE t.ended_at > to_timestamp(:since) - interval '60 s' AND t.ended_at IS NOT NULL
""")

_NOW = text("SELECT extract(epoch FROM clock_timestamp())")


class Durations:
    """Reads tasks that ended since the last look; one process at a time (see `scheduling.engine`).

    A task may become visible after one that ended later, so looks overlap by a minute and what was
    seen in that minute is remembered.
    """

    def __init__(self, database: Database, _: Orchestrator, __: Settings) -> None:
        self._database = database
        self._since: float | None = None
        self._seen: set[str] = set()

    async def run(self) -> None:
        while True:
            async with self._database.begin() as session:
                await self.observe(session)
            await asyncio.sleep(_LOOK_SECONDS)

    async def observe(self, session: AsyncSession) -> None:
        now = float(
            (await session.execute(text("SELECT extract(epoch FROM clock_timestamp())"))).scalar_one()
        )
        rows = list(await session.execute(_ENDED, {"since": now if self._since is None else self._since}))
        # What ended before the first look belongs to another process's count.
        fresh = [row for row in rows if row.id not in self._seen] if self._since is not None else []
        self._since, self._seen = now, {row.id for row in rows}
        for row in fresh:
            if row.waited is None:
                continue
            priority = Priority(row.priority).name
            instruments.task_wait_seconds.labels(row.task_type, priority).observe(float(row.waited))
            instruments.task_run_seconds.labels(row.task_type, row.model, row.status).observe(float(row.ran))
