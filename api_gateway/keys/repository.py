"""API keys in the database: made, found, revoked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.auth import credentials
from api_gateway.auth.credentials import Credential, Scope
from api_gateway.database.models import ApiKey
from api_gateway.errors import NameTakenError
from mof_benchmark.identifiers import new_id


@dataclass(frozen=True)
class StoredKey:
    """What is known of a key when a request brings it."""

    id: str
    name: str
    scopes: frozenset[str]
    salt: bytes
    hash: bytes
    rate_per_minute: int | None
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return self.revoked_at is None and not expired


async def create(
    session: AsyncSession,
    name: str,
    scopes: Iterable[Scope],
    *,
    rate_per_minute: int | None = None,
    expires_at: datetime | None = None,
) -> Credential:
    """Make a key; the returned text is never to be had again.

    Raises
    ------
    NameTakenError
        When a key of that name exists.
    """
    credential = credentials.new_credential()
    salt = credentials.new_salt()
    session.add(
        ApiKey(
            id=new_id("key"),
            name=name,
            lookup=credential.key_id,
            salt=salt,
            hash=credentials.hash_secret(credential.secret, salt),
            scopes=sorted({scope.value for scope in scopes}),
            rate_per_minute=rate_per_minute,
            expires_at=expires_at,
        )
    )
    try:
        await session.flush()
    except IntegrityError as error:
        raise NameTakenError(f"There is a key named {name!r} already", field="name") from error
    return credential


async def find(session: AsyncSession, key_id: str) -> StoredKey | None:
    """The key with this public part."""
    row = (await session.execute(select(ApiKey).where(ApiKey.lookup == key_id))).scalar_one_or_none()
    if row is None:
        return None
    return StoredKey(
        id=row.id,
        name=row.name,
        scopes=frozenset(row.scopes),
        salt=row.salt,
        hash=row.hash,
        rate_per_minute=row.rate_per_minute,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


async def every(session: AsyncSession) -> list[ApiKey]:
    """All keys, oldest first."""
    return list((await session.scalars(select(ApiKey).order_by(ApiKey.created_at))).all())


async def revoke(session: AsyncSession, name: str) -> bool:
    """Revoke the key of that name; false when there is none that is not revoked already."""
    revoked = await session.scalar(
        update(ApiKey)
        .where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
        .returning(ApiKey.id)
    )
    return revoked is not None


def describe(key: ApiKey) -> dict[str, Any]:
    """A key as it may be shown."""
    times = {
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }
    return {
        "name": key.name,
        "scopes": key.scopes,
        "rate_per_minute": key.rate_per_minute,
        **{name: moment and moment.isoformat() for name, moment in times.items()},
    }
