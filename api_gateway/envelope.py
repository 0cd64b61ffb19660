"""The one shape of every answer (contract, "Envelope")."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field, PlainSerializer

from api_gateway import context

T = TypeVar("T")


def _iso_z(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Timestamp = Annotated[
    datetime,
    PlainSerializer(_iso_z, return_type=str, when_used="json"),
    Field(description="ISO 8601, UTC.", examples=["2026-01-30T10:00:00.000Z"]),
]

MESSAGES: dict[int, tuple[str, str]] = {
    200: ("OK", "操作成功"),
    201: ("Created", "创建成功"),
    202: ("Accepted", "已接受"),
}


class Envelope(BaseModel, Generic[T]):
    """A successful answer."""

    success: bool = True
    code: int = Field(200, description="HTTP status.")
    message: str = Field("OK", description="In the language of `Accept-Language`.")
    data: T
    timestamp: Timestamp
    request_id: str = Field(description="Also in the header `X-Request-ID`.", examples=["req_abc123"])


class ItemError(BaseModel):
    """What is wrong with one task of a batch."""

    index: int = Field(description="Position in the batch, from 0.")
    code: int
    message: str
    detail: str
    field: str | None = None


class ErrorDetail(BaseModel):
    """What exactly was wrong."""

    type: str = Field(examples=["InvalidParameterError"])
    detail: str = Field(examples=["Input should be greater than 0"])
    field: str | None = Field(None, examples=["parameters.fmax"])
    errors: list[ItemError] | None = Field(None, description="Batches: what is wrong with each task.")


class ErrorEnvelope(BaseModel):
    """A failed answer."""

    success: bool = False
    code: int = Field(description="Five digits; see the table of codes.", examples=[40002])
    message: str = Field(description="In the language of `Accept-Language`.")
    error: ErrorDetail
    timestamp: Timestamp
    request_id: str


class Pagination(BaseModel):
    """Where in a list this page lies."""

    page: int = Field(description="From 1; 1 for a page reached by cursor.")
    page_size: int
    total_items: int
    total_pages: int


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    pagination: Pagination


class CursorPage(Page[T], Generic[T]):
    """One page of a long list; `next_cursor` costs the same however far it lies."""

    next_cursor: str | None = Field(None, description="Pass as `cursor` for the next page; null at the end.")


def ok(data: T, status: int = 200) -> Envelope[T]:
    """Wrap `data` for the request being served."""
    english, chinese = MESSAGES[status]
    return Envelope(
        code=status,
        message=chinese if context.language.get() == "zh" else english,
        data=data,
        timestamp=datetime.now(UTC),
        request_id=context.request_id.get(),
    )
