"""Admits a request: which key it brings, whether it may, and whether it may now."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog
from starlette.requests import Request

from api_gateway.auth import credentials
from api_gateway.auth.credentials import Scope
from api_gateway.auth.limiter import RateLimiter
from api_gateway.database import Database
from api_gateway.errors import (
    ExpiredKeyError,
    InvalidKeyError,
    MissingKeyError,
    RateLimitedError,
    ScopeMissingError,
)
from api_gateway.keys import repository as keys
from api_gateway.keys.repository import StoredKey

_CACHE_SECONDS = 2.0
"""A revoked key works at most this much longer; a busy one costs one look-up in that time."""
_CACHE_KEYS = 10_000


@dataclass(frozen=True)
class Caller:
    """The key a request came with."""

    key_id: str
    name: str
    scopes: frozenset[str]


class Guard:
    """Checks keys against the database."""

    def __init__(self, database: Database, default_rate_per_minute: int) -> None:
        self._database = database
        self._limiter = RateLimiter(database)
        self._default_rate = default_rate_per_minute
        self._known: dict[str, tuple[float, StoredKey]] = {}

    async def admit(self, request: Request, scope: Scope) -> None:
        """Put the caller into `request.state.key`, or raise 20001 to 20004 or 40029."""
        key = await self._identify(_presented(request))
        caller = Caller(key.id, key.name, key.scopes)
        request.state.key = caller
        structlog.contextvars.bind_contextvars(api_key=key.name)
        verdict = await self._limiter.take(key.id, key.rate_per_minute or self._default_rate)
        request.state.rate_headers = verdict.headers
        if not verdict.allowed:
            raise RateLimitedError(
                f"This key is limited to {verdict.limit} requests a minute",
                wait_seconds=verdict.reset_seconds,
            )
        if scope.value not in key.scopes:
            raise ScopeMissingError(f"This needs the scope `{scope.value}`")

    async def _identify(self, presented: str) -> StoredKey:
        credential = credentials.parse(presented)
        if credential is None:
            raise InvalidKeyError("The key does not look like one of ours")
        key = await self._look_up(credential.key_id)
        if key is None or not credentials.matches(credential.secret, key.salt, key.hash):
            raise InvalidKeyError("The key is not known")
        if not key.usable:
            raise ExpiredKeyError("The key has expired or was revoked")
        return key

    async def _look_up(self, key_id: str) -> StoredKey | None:
        cached = self._known.get(key_id)
        if cached is not None and time.monotonic() - cached[0] < _CACHE_SECONDS:
            return cached[1]
        async with self._database.reading() as session:
            key = await keys.find(session, key_id)
        if key is None:
            return None
        if len(self._known) >= _CACHE_KEYS:
            self._known.clear()
        self._known[key_id] = time.monotonic(), key
        return key


def _presented(request: Request) -> str:
    """The key of a request: `Authorization: Bearer` or `X-API-Key`."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    header = request.headers.get("x-api-key", "").strip()
    if not header:
        raise MissingKeyError("Send `Authorization: Bearer <key>` or `X-API-Key: <key>`")
    return header
