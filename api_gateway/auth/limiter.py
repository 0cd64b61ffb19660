"""Token buckets per key that hold across gateway processes without a write per request.

The bucket is a row. A process takes a lease of several tokens from it in one statement and
spends them in memory, so a key's requests cost the database about one write per lease, and all
processes together never spend more than the bucket gave. Small rates take one token at a time
and are exact.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field

from sqlalchemy import text

from api_gateway.database import Database

_LEASE_SHARE = 0.02
"""Part of a minute's tokens in one lease."""
_LEASE_SECONDS = 5.0
"""A lease not spent by then lapses: hoarded tokens must not add up to a burst."""

_FILL = text(
    """
    INSERT INTO rate_buckets AS bucket (api_key_id, tokens, refilled_at)
    VALUES (:key, :capacity, clock_timestamp())
    ON CONFLICT (api_key_id) DO UPDATE SET
        tokens = least(
            :capacity,
            bucket.tokens + :capacity / 60.0
                * greatest(0, extract(epoch FROM clock_timestamp() - bucket.refilled_at))
        ),
        refilled_at = clock_timestamp()
    RETURNING tokens
    """
)
"""Locks the bucket until the transaction ends, so that no other process spends between."""
_SPEND = text("UPDATE rate_buckets SET tokens = tokens - :taken WHERE api_key_id = :key")
_USED = text("UPDATE api_keys SET last_used_at = clock_timestamp() WHERE id = :key")


@dataclass
class _Lease:
    """Tokens this process holds of one key's bucket."""

    tokens: int = 0
    left_in_bucket: float = 0.0
    taken_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class Verdict:
    """Whether a request may pass, and what the key has left."""

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    """Until the bucket is full again; when refused: until the next token."""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
            "RateLimit-Policy": f"{self.limit};w=60",
        }


class RateLimiter:
    """Decides request by request; the bucket holds one minute's worth of tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases: dict[str, _Lease] = {}

    async def take(self, key_id: str, per_minute: int) -> Verdict:
        """Spend one token of `key_id`, whose rate is `per_minute`."""
        lease = self._leases.setdefault(key_id, _Lease())
        async with lease.lock:
            if lease.tokens == 0 or time.monotonic() - lease.taken_at > _LEASE_SECONDS:
                await self._renew(key_id, lease, per_minute)
            if lease.tokens == 0:
                wait = math.ceil((1.0 - lease.left_in_bucket) * 60.0 / per_minute)
                return Verdict(False, per_minute, 0, max(1, wait))
            lease.tokens -= 1
            remaining = lease.tokens + int(lease.left_in_bucket)
            missing = max(0, per_minute - remaining)
            return Verdict(True, per_minute, remaining, math.ceil(missing * 60.0 / per_minute))

    async def _renew(self, key_id: str, lease: _Lease, per_minute: int) -> None:
        wanted = max(1, math.floor(per_minute * _LEASE_SHARE))
        async with self._database.begin() as session:
            tokens = float(await session.scalar(_FILL, {"key": key_id, "capacity": float(per_minute)}) or 0.0)
            taken = min(wanted, math.floor(tokens))
            if taken:
                await session.execute(_SPEND, {"key": key_id, "taken": taken})
                await session.execute(_USED, {"key": key_id})
        lease.tokens, lease.left_in_bucket, lease.taken_at = taken, tokens - taken, time.monotonic()
