"""A task's event stream, continued over broken connections."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping

import httpx
from httpx_sse import ServerSentEvent, SSEError

from mofsim_client._documents import Event
from mofsim_client._effects import NextEvent, Op, Open, Request, Sleep
from mofsim_client._exceptions import ConnectionFailedError, IncompatibleServerError
from mofsim_client._protocol import (
    OUTAGE_SECONDS,
    STREAM_SILENCE_SECONDS,
    backoff,
    retry_wait,
    unwrap,
)
from mofsim_client._settings import Connection

LONG_LIFE_SECONDS = 10.0
"""A stream that lived this long had been resumed well: its break starts the count anew."""


class EventFeed:
    """A task's server-sent events, each exactly once over any number of connections.

    After a break the stream is opened again with the id of the last whole event, which is where
    the server continues.
    """

    def __init__(
        self,
        connection: Connection,
        path: str,
        last_event_id: str = "",
        query: Mapping[str, str] | None = None,
    ) -> None:
        self._connection = connection
        self._request = Request("GET", path, query=dict(query or {}), headers={"Accept": "text/event-stream"})
        self._last_id = last_event_id
        self._open = False
        self._opened_at = 0.0
        self._ended = False

    def next(self) -> Op[Event | None]:
        """Wait for the next event; None after `end`.

        Raises
        ------
        ConnectionFailedError
            If no server answers (one that did and went away is waited for, up to three minutes), or
            if the stream breaks again and again, each time soon after it was opened.
        """
        failures, lost_at = 0, -math.inf
        while not self._ended:
            try:
                if not self._open:
                    yield from self._connect()
                message: ServerSentEvent | None = yield NextEvent()
                reason = "it ended before the task"
            # Before its base class, which is a broken connection.
            except SSEError as error:
                raise IncompatibleServerError(f"The server answered with no event stream: {error}") from error
            except httpx.TransportError as error:
                message, reason = None, str(error) or type(error).__name__
            if message is not None:
                # httpx-sse hands a heartbeat (a comment and an empty line) out as an event without data.
                if message.data:
                    return self._read(message)
                continue
            now = time.monotonic()
            lived_long = self._open and now - self._opened_at > LONG_LIFE_SECONDS
            failures = 0 if lived_long else failures + 1
            if self._open:
                self._open, lost_at = False, now
            # A server that was there is only being started again; one that never was may not exist.
            away = lost_at < now < lost_at + OUTAGE_SECONDS
            if failures > self._connection.max_retries and not away:
                raise ConnectionFailedError(
                    f"The event stream of {self._connection.base_url} broke and could not be resumed "
                    f"({reason})."
                )
            yield Sleep(backoff(failures))
        return None

    def _read(self, message: ServerSentEvent) -> Event:
        self._last_id = message.id or self._last_id
        self._ended = message.event == "end"
        return Event(id=message.id, type=message.event, data=json.loads(message.data))

    def _connect(self) -> Op[None]:
        request = self._request
        if self._last_id:
            request = request.with_header("Last-Event-ID", self._last_id)
        for attempt in range(self._connection.max_retries + 1):
            response: httpx.Response = yield Open(request, STREAM_SILENCE_SECONDS)
            if response.is_success:
                self._open = True
                self._opened_at = time.monotonic()
                return
            wait = retry_wait(response, attempt)
            if wait is None or attempt == self._connection.max_retries:
                unwrap(response)
            else:
                yield Sleep(wait)
