"""The contract's envelope, errors, retries and event streams, as operations."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from mofsim_client._effects import Op, Request, Send, Sleep
from mofsim_client._exceptions import ConnectionFailedError, IncompatibleServerError, ServerError, error_class
from mofsim_client._settings import Connection, __version__

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

RETRIED_STATUS = (429, 503)
LONGEST_WAIT_SECONDS = 60.0
OUTAGE_SECONDS = 180.0
"""A wait that has begun outlasts such an absence: a server that is started again is soon back."""
STREAM_SILENCE_SECONDS = 60.0
"""The server sends heartbeat comments; silence longer than this means the connection is dead."""


def ask(connection: Connection, request: Request) -> Op[Any]:
    """Send a request and return the envelope's `data`.

    Connection errors, 429 and 503 are tried again with jittered, doubling waits (`Retry-After`
    where the server names one); a request that must not run twice only if it never arrived.
    """
    for attempt in range(connection.max_retries + 1):
        last = attempt == connection.max_retries
        try:
            response: httpx.Response = yield Send(request)
        except httpx.TransportError as error:
            if last or not (request.repeatable or isinstance(error, httpx.ConnectError)):
                raise connection_failed(connection, error) from error
            yield Sleep(backoff(attempt))
            continue
        if response.status_code in request.accepted:
            return envelope_of(response).get("data")
        wait = retry_wait(response, attempt)
        if last or wait is None:
            return unwrap(response)
        yield Sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def outlasting(look: Callable[[], Op[T]], patient_until: float) -> Op[T]:
    """Look again and again while the server is away, until a moment of `time.monotonic`."""
    attempt = 0
    while True:
        try:
            return (yield from look())
        except (ConnectionFailedError, ServerError) as error:
            away = isinstance(error, ConnectionFailedError) or error.status == 503
            if not away or time.monotonic() > patient_until:
                raise
        yield Sleep(backoff(attempt))
        attempt += 1


def backoff(attempt: int) -> float:
    """Seconds before try number `attempt + 2`: doubling from 0.25 s to 8 s, half of it random."""
    longest: float = min(8.0, 0.25 * 2**attempt)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


def retry_wait(response: httpx.Response, attempt: int) -> float | None:
    """Seconds to wait before another try; None: take the answer as it is."""
    if response.status_code not in RETRIED_STATUS:
        return None
    try:
        asked = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return backoff(attempt)
    return None if asked > LONGEST_WAIT_SECONDS else max(asked, 0.0) + backoff(0)


def envelope_of(response: httpx.Response) -> dict[str, Any]:
    """The envelope around an answer.

    Raises
    ------
    IncompatibleServerError
        If there is none: this is no mofsim server.
    """
    try:
        envelope = response.json()
    except ValueError:
        envelope = None
    if isinstance(envelope, dict) and "success" in envelope:
        return envelope
    raise IncompatibleServerError(
        f"{response.request.method} {response.request.url} was answered with HTTP {response.status_code} "
        f"and no mofsim envelope. Is this address a mofsim server (REST v1)? "
        f"This is mofsim-client {__version__}."
    )


def unwrap(response: httpx.Response) -> Any:
    """`data` of a success, or the exception of a refusal."""
    envelope = envelope_of(response)
    if envelope["success"] is True:
        return envelope.get("data")
    error = envelope.get("error") or {}
    code = int(envelope.get("code", 0))
    raise error_class(code)(
        str(envelope.get("message", "")),
        code=code,
        detail=str(error.get("detail") or ""),
        field=error.get("field"),
        request_id=envelope.get("request_id"),
        errors=error.get("errors"),
        status=response.status_code,
    )


def connection_failed(connection: Connection, error: httpx.TransportError) -> ConnectionFailedError:
    reason = str(error) or type(error).__name__
    return ConnectionFailedError(
        f"No mofsim server answers at {connection.base_url} ({reason}). Start one with `./mofsim up`, "
        f"or name its address by base_url= or MOFSIM_BASE_URL."
    )


def parse(model: type[M], data: Any) -> M:
    """Read an answer into its document."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise IncompatibleServerError(
            f"The server's answer is not a {model.__name__} as mofsim-client {__version__} knows it; "
            f"server and client are of different versions. {error}"
        ) from error


def poll_interval(elapsed_seconds: float) -> float:
    """Seconds until the next look: a twentieth of the time waited so far, between 0.03 s and 1 s.

    Short tasks are seen at once, and long ones cost the server one cheap request a second.
    """
    return min(1.0, max(0.03, elapsed_seconds / 20))


def items_of(data: Any) -> list[Any]:
    """The rows of a list answer."""
    return list(data["items"]) if isinstance(data, dict) else list(data)


def next_cursor(data: Any) -> str | None:
    """Where the list goes on; None at its end."""
    return data.get("next_cursor") or data.get("pagination", {}).get("next_cursor") or None
