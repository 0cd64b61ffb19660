"""Runs placer, follower, stopper and reconciler: in one gateway process at a time, for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, Self

import psycopg
import structlog

from api_gateway.database import Database
from api_gateway.orchestrator import Orchestrator
from api_gateway.scheduling.follower import Follower
from api_gateway.scheduling.placer import Placer
from api_gateway.scheduling.reconciler import Reconciler
from api_gateway.scheduling.stopper import Stopper
from mofsim_settings import Settings

log = structlog.get_logger("gateway.engine")

_LEADER_LOCK = 0x6D6F6673696D0002
"""Key of the advisory lock that the leading gateway holds; migrations hold 0x…0001."""

_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 5.0


class Part(Protocol):
    """A loop that only one gateway process may run."""

    def __call__(self, database: Database, orchestrator: Orchestrator, settings: Settings, /) -> Loop: ...


class Loop(Protocol):
    """Something that works until it is cancelled."""

    async def run(self) -> None: ...


class Engine:
    """The scheduling side of a gateway, for its lifespan.

    Any number of gateways may run one: an advisory lock lets one lead, and another takes over
    within about a second when its connection goes. Nothing that fails here ends the engine: a loop
    that raises is logged and started again.

    Parameters
    ----------
    also
        Other loops of which one may run, besides those of scheduling.
    """

    def __init__(self, database: Database, settings: Settings, also: Sequence[Part] = ()) -> None:
        self._parts: tuple[Part, ...] = (Placer, Follower, Stopper, Reconciler, *also)
        self._database = database
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        self.leading = asyncio.Event()
        """Set while this process leads."""

    async def start(self) -> None:
        """Start in the background; returns at once, whether or not the database is there."""
        if self._task is None:
            self._task = asyncio.create_task(supervise("engine", self._lead), name="engine")

    async def stop(self) -> None:
        """Stop; runs under way go on, and the next leader follows them."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _lead(self) -> None:
        async with self._database.connection(application_name="mofsim-leader") as connection:
            # Not the waiting form of the lock: it would hold a snapshot open for as long as it waits.
            while not await _try_lock(connection):  # noqa: ASYNC110 - PostgreSQL announces no free lock
                await asyncio.sleep(_RETRY_SECONDS)
            log.info("leading")
            self.leading.set()
            try:
                async with (
                    Orchestrator.from_settings(self._settings) as orchestrator,
                    asyncio.TaskGroup() as loops,
                ):
                    for part in self._parts:
                        loop = part(self._database, orchestrator, self._settings)
                        loops.create_task(supervise(type(loop).__name__.lower(), loop.run))
                    # Raises when the connection, and with it the lock, is gone: all loops end.
                    while True:
                        await connection.execute("SELECT 1")
                        await asyncio.sleep(_RETRY_SECONDS)
            finally:
                self.leading.clear()


async def supervise(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run `loop` again whenever it ends or raises, sooner at first, until cancelled."""
    clock = asyncio.get_running_loop()
    wait = 0.1
    while True:
        started = clock.time()
        try:
            await loop()
            log.warning("loop ended", loop=name)
        except Exception as error:
            log.warning("loop failed", loop=name, error=_reason(error))
            log.debug("loop failed", loop=name, exc_info=True)
        if clock.time() - started > 2 * _LONGEST_RETRY_SECONDS:
            wait = 0.1
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_RETRY_SECONDS)


async def _try_lock(connection: psycopg.AsyncConnection) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", (_LEADER_LOCK,))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


def _reason(error: BaseException) -> str:
    """The innermost causes of a group: its own text names none of them."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_reason(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"
