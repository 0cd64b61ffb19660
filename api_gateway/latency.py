"""How fast this process has answered lately; told to the database for whoever watches all processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import AsyncIterator

import structlog
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from api_gateway.database import Database
from api_gateway.database.models import GatewayProcess
from mof_benchmark.identifiers import new_id

log = structlog.get_logger("gateway.latency")

_KEPT = 50_000
"""Most requests that are counted: the latest."""


class Latency:
    """Times to the first byte within a sliding window.

    Parameters
    ----------
    window_seconds
        Length of the window.
    least
        Fewer requests in the window tell nothing.
    """

    def __init__(self, window_seconds: float, least: int) -> None:
        self._window_seconds = window_seconds
        self._least = least
        self._answers: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        self._answers.append((time.monotonic(), seconds))

    def p99_seconds(self) -> tuple[int, float | None]:
        """Requests in the window and their 99th percentile (nearest rank); None for too few."""
        oldest = time.monotonic() - self._window_seconds
        while self._answers and self._answers[0][0] < oldest:
            self._answers.popleft()
        count = len(self._answers)
        if count < self._least:
            return count, None
        return count, sorted(seconds for _, seconds in self._answers)[-(-99 * count // 100) - 1]

    @contextlib.asynccontextmanager
    async def reported(self, database: Database, every_seconds: float) -> AsyncIterator[None]:
        """Keep this process's row up to date for as long as the block runs."""
        row_id = new_id("gateway")
        task = asyncio.create_task(self._report_for_ever(database, row_id, every_seconds), name="latency")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with contextlib.suppress(SQLAlchemyError, OSError):
                async with database.begin() as session:
                    await session.execute(delete(GatewayProcess).where(GatewayProcess.id == row_id))

    async def _report_for_ever(self, database: Database, row_id: str, every_seconds: float) -> None:
        while True:
            count, p99 = self.p99_seconds()
            row = {"requests": count, "p99_seconds": p99, "reported_at": func.clock_timestamp()}
            statement = insert(GatewayProcess).values(
                id=row_id, host=socket.gethostname(), pid=os.getpid(), **row
            )
            try:
                async with database.begin() as session:
                    await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))
            except (SQLAlchemyError, OSError) as error:
                log.debug("latency not reported", error=type(error).__name__)
            await asyncio.sleep(every_seconds)
