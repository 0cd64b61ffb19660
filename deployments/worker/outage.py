"""Prefect's server or the database may be away for minutes: what to wait for, and what not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from psycopg.errors import UndefinedFunction

from tasks.database import Unavailable

T = TypeVar("T")

RETRY_SECONDS = 0.5

_log = logging.getLogger(__name__)


def is_outage(error: BaseException) -> bool:
    """Whether a failed call says that who should answer is away, rather than that the call is wrong."""
    if isinstance(error, (httpx.HTTPStatusError, PrefectHTTPStatusError)):
        return error.response.status_code >= 500 or error.response.status_code in (408, 429)
    # A function that is missing comes with the upgrade that the gateway makes when it starts.
    return isinstance(error, (httpx.TransportError, OSError, *Unavailable, UndefinedFunction))


async def through_outages(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again and again while who should answer it is away."""
    waiting = False
    while True:
        try:
            return await call()
        except Exception as error:
            if not is_outage(error):
                raise
            if not waiting:
                _log.warning("Nobody answers; %s waits: %s", what, error)
                waiting = True
            await asyncio.sleep(RETRY_SECONDS)
