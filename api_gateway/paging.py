"""Lists in pages: by number, or by cursor where a list is long."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api_gateway.envelope import Page, Pagination
from mof_benchmark.errors import InvalidParameterError

T = TypeVar("T")
_LONG = 1000
_COSTLY_SECONDS = 0.02
_REMEMBERED_SECONDS = 5.0
_REMEMBERED_COUNTS = 1000


class Paging(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    page: int = Field(1, ge=1, le=1_000_000, description="From 1.")
    page_size: int = Field(20, ge=1, le=100)

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.page_size

    def pagination(self, total_items: int) -> Pagination:
        return Pagination(
            page=self.page,
            page_size=self.page_size,
            total_items=total_items,
            total_pages=-(-total_items // self.page_size),
        )

    def cut(self, everything: Sequence[T]) -> Page[T]:
        """The page of a list that is at hand as a whole."""
        return Page(
            items=list(everything[self.offset : self.offset + self.page_size]),
            pagination=self.pagination(len(everything)),
        )


class Counts:
    """Sizes of lists. One that costs much to count may be a few seconds old."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, int]] = {}
        self._counting: dict[str, asyncio.Lock] = {}

    async def of(self, what: str, count: Callable[[], Awaitable[int]]) -> int:
        """The size of the list `what`, counted by `count` unless that is known to be costly."""
        if len(self._counting) >= _REMEMBERED_COUNTS:
            self._known.clear()
            self._counting.clear()
        # Those who ask at the same moment wait for one to count, rather than all counting.
        async with self._counting.setdefault(what, asyncio.Lock()):
            began = time.monotonic()
            known = self._known.get(what)
            if known is not None and began - known[0] < _REMEMBERED_SECONDS:
                return known[1]
            size = await count()
            if size > _LONG or time.monotonic() - began > _COSTLY_SECONDS:
                self._known[what] = began, size
            return size


def cursor_of(number: int) -> str:
    """A place in a list, as a client carries it."""
    return base64.urlsafe_b64encode(number.to_bytes(8, "big")).decode().rstrip("=")


def place_of(cursor: str) -> int:
    """The place that `cursor_of` made a cursor of.

    Raises
    ------
    InvalidParameterError
    """
    try:
        raw = base64.b64decode(cursor + "=", altchars=b"-_", validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 8 or raw[0] > 127:
        raise InvalidParameterError("This cursor was not made here", field="cursor")
    return int.from_bytes(raw, "big")
