"""Who may call, what was already answered, and who did what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from api_gateway.database.models.base import Base, CreatedAt, Identifier, Json


class ApiKey(Base):
    """An API key: its salted hash, never itself."""

    __tablename__ = "api_keys"

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    lookup: Mapped[str] = mapped_column(unique=True)
    """The public part of the key, by which its row is found."""
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]]
    rate_per_minute: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class RateBucket(Base):
    """Token bucket of a key, shared by all gateway processes."""

    __tablename__ = "rate_buckets"

    api_key_id: Mapped[Identifier] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True
    )
    tokens: Mapped[float]
    refilled_at: Mapped[CreatedAt]


class IdempotencyKey(Base):
    """What a submission with an `Idempotency-Key` was answered, for 24 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_expires_at", "expires_at"),)

    api_key_id: Mapped[Identifier] = mapped_column(
        ForeignKey("api_keys.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[str]
    status_code: Mapped[int | None]
    response: Mapped[Json | None]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime]


class AuditLine(Base):
    """An action that someone must be able to account for."""

    __tablename__ = "audit_lines"
    __table_args__ = (Index("ix_audit_lines_target", "target"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[CreatedAt]
    api_key_id: Mapped[Identifier | None]
    actor: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    detail: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    request_id: Mapped[str | None]
