"""What belongs to the request being served: its id and the language of its messages."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Literal

from mof_benchmark.identifiers import new_id

Language = Literal["en", "zh"]

request_id: ContextVar[str] = ContextVar("request_id", default="")
language: ContextVar[Language] = ContextVar("language", default="en")

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def choose_request_id(offered: str | None) -> str:
    """Keep the client's `X-Request-ID` when it is well formed, else make one."""
    if offered is not None and _ACCEPTED_ID.fullmatch(offered):
        return offered
    return new_id("req")


def choose_language(accept_language: str | None, default: Language) -> Language:
    """Pick `en` or `zh` from an `Accept-Language` header by its weights (RFC 9110, 12.5.4)."""
    best: Language = default
    best_weight = 0.0
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        primary = tag.strip().lower().split("-")[0]
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1.0)
        except ValueError:
            continue
        if primary in ("en", "zh") and weight > best_weight:
            best, best_weight = ("zh" if primary == "zh" else "en"), weight
    return best
