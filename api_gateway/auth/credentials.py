"""API keys as text: how they are made, taken apart, hashed and checked.

A key reads `mofsim_<id>_<secret>`. The id finds the row; the secret has 256 random bits, so a
salted SHA-256 keeps it as safe as a slow hash would, and costs a request nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum

_PREFIX = "mofsim"


class Scope(StrEnum):
    """What a key may do. `admin` includes nothing by itself: a key names each of its scopes."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class Credential:
    """A key taken apart."""

    key_id: str
    secret: str

    def __str__(self) -> str:
        return f"{_PREFIX}_{self.key_id}_{self.secret}"


def new_credential() -> Credential:
    """Make a key that nobody has."""
    return Credential(key_id=secrets.token_hex(8), secret=secrets.token_urlsafe(32))


def parse(text: str) -> Credential | None:
    """Take a key apart; None when it does not look like one."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != _PREFIX or len(key_id) != 16 or not secret or not text.isascii():
        return None
    return Credential(key_id=key_id, secret=secret)


def new_salt() -> bytes:
    return secrets.token_bytes(16)


def hash_secret(secret: str, salt: bytes) -> bytes:
    """Salted digest of a secret, as stored."""
    return hashlib.sha256(salt + secret.encode()).digest()


def matches(secret: str, salt: bytes, stored: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_secret(secret, salt), stored)
