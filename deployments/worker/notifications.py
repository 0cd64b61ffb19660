"""PostgreSQL tells the worker of new runs and of attempts to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

from tasks.database import CONNECT

RECONNECT_SECONDS = 1.0

_log = logging.getLogger(__name__)


async def listen(
    url: str, handlers: dict[str, Callable[[str], None]], *, connected: Callable[[], None]
) -> None:
    """Call a channel's handler with each payload, over any number of outages.

    Parameters
    ----------
    connected
        Called after each (re)connection: what was sent meanwhile was missed.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                url, autocommit=True, application_name="mofsim-worker", **CONNECT
            ) as connection:
                for channel in handlers:
                    await connection.execute(f"LISTEN {channel}".encode())
                connected()
                async for notification in connection.notifies():
                    handlers[notification.channel](notification.payload)
        except psycopg.OperationalError as error:
            _log.info("No notifications for now: %s", str(error).splitlines()[0] if str(error) else "away")
        await asyncio.sleep(RECONNECT_SECONDS)
