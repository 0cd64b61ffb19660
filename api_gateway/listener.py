"""One connection that listens, fanned out to every stream and waiter of this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

import psycopg
import structlog

from api_gateway.database import Database

_RECONNECT_SECONDS = 1.0
log = structlog.get_logger("gateway.listener")


class TaskListener:
    """Wakes those who wait for news of a task (`NOTIFY mofsim_task, '<task_id>'`).

    A wake-up carries no news itself: the waiter reads the database. A lost connection therefore
    loses nothing, as everybody is woken once it is back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self.closing = False
        """Streams end: the process is about to stop, and clients resume elsewhere or later."""

    def close(self) -> None:
        """End all streams."""
        self.closing = True
        self._wake_all()

    @contextlib.contextmanager
    def subscribe(self, task_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is news of `task_id`; the waiter clears it."""
        event = asyncio.Event()
        self._waiting[task_id].add(event)
        try:
            yield event
        finally:
            self._waiting[task_id].discard(event)
            if not self._waiting[task_id]:
                del self._waiting[task_id]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen for as long as the block runs."""
        task = asyncio.create_task(self._listen_for_ever(), name="task-listener")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                async with self._database.connection("mofsim_task") as connection:
                    self._wake_all()
                    async for note in connection.notifies():
                        self._wake(note.payload)
            except (psycopg.Error, OSError) as error:
                log.warning("listener lost its connection", error=type(error).__name__)
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _wake(self, task_id: str) -> None:
        for event in self._waiting.get(task_id, ()):
            event.set()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
