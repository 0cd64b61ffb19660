"""Public identifiers: a prefix and a time-ordered random part (UUIDv7 in Crockford base32)."""

from __future__ import annotations

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str) -> str:
    """Make `prefix_…`: 26 characters that sort by creation time and cannot be guessed."""
    number = uuid_utils.uuid7().int
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"
