"""`Idempotency-Key`: the same submission sent twice within a day is one submission.

The key's row is written in the transaction of the tasks themselves, so there is never a key
without its tasks, nor tasks without their key; a twin that arrives meanwhile waits at the row.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import IdempotencyKey
from api_gateway.errors import IdempotencyConflictError

_KEPT = timedelta(hours=24)


class Idempotency:
    """One submission's key.

    Parameters
    ----------
    api_key_id
        Keys of different callers are strangers.
    key
        As the client sent it.
    body
        The validated request as text; the same key with another one is a mistake.
    """

    def __init__(self, api_key_id: str, key: str, body: str) -> None:
        self._api_key_id = api_key_id
        self._key = key
        self._body_sha256 = hashlib.sha256(body.encode()).hexdigest()

    async def replay(self, session: AsyncSession) -> dict[str, Any] | None:
        """What the same submission was answered before, if it was.

        Raises
        ------
        IdempotencyConflictError
            When the key was used for another body.
        """
        row = await session.scalar(
            select(IdempotencyKey).where(
                IdempotencyKey.api_key_id == self._api_key_id,
                IdempotencyKey.key == self._key,
                IdempotencyKey.expires_at > func.clock_timestamp(),
            )
        )
        if row is None:
            return None
        if row.body_sha256 != self._body_sha256:
            raise IdempotencyConflictError("This Idempotency-Key came with another body before")
        return row.response

    async def claim(self, session: AsyncSession) -> bool:
        """Take the key for this transaction; false when a twin took it first (then replay)."""
        await session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.api_key_id == self._api_key_id,
                IdempotencyKey.expires_at <= func.clock_timestamp(),
            )
        )
        claimed = await session.scalar(
            insert(IdempotencyKey)
            .values(
                api_key_id=self._api_key_id,
                key=self._key,
                body_sha256=self._body_sha256,
                expires_at=func.clock_timestamp() + _KEPT,
            )
            .on_conflict_do_nothing()
            .returning(IdempotencyKey.key)
        )
        return claimed is not None

    async def store(self, session: AsyncSession, status_code: int, response: dict[str, Any]) -> None:
        """Keep the answer, in the transaction that claimed the key."""
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.api_key_id == self._api_key_id, IdempotencyKey.key == self._key)
            .values(status_code=status_code, response=response)
        )
