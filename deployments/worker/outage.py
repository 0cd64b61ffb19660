"""Prefect's server may be away for minutes: what to wait for, and what not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
from prefect.exceptions import PrefectHTTPStatusError

T = TypeVar("T")

RETRY_SECONDS = 0.5

_log = logging.getLogger(__name__)


def is_outage(error: BaseException) -> bool:
    """Whether a failed call says that the server is away, rather than that the call is wrong."""
    if isinstance(error, (httpx.HTTPStatusError, PrefectHTTPStatusError)):
        return error.response.status_code >= 500 or error.response.status_code in (408, 429)
    return isinstance(error, (httpx.TransportError, OSError))


async def through_outages(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again and again while the server is away."""
    waiting = False
    while True:
        try:
            return await call()
        except Exception as error:
            if not is_outage(error):
                raise
            if not waiting:
                _log.warning("Prefect is away; %s waits for it.", what)
                waiting = True
            await asyncio.sleep(RETRY_SECONDS)
