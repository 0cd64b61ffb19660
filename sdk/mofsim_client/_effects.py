"""What an operation may want from the outside world, as values.

An operation is a generator: it yields effects (send this request, sleep, open this event stream)
and is handed the answers. It contains all logic and does no input or output itself, so that one
text serves the blocking and the asynchronous client.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


OnUpload = Callable[[int, int], None]
"""Called with the bytes sent so far and their total."""


@dataclass(frozen=True)
class Upload:
    """A multipart part `file`, opened anew each time the request is sent."""

    name: str
    content: Path | bytes
    on_progress: OnUpload | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Request:
    """An HTTP request as a value; `path` is below `/api/v1`."""

    method: str
    path: str
    query: dict[str, str | int] = field(default_factory=dict)
    body: Any = None
    form: dict[str, str] = field(default_factory=dict)
    upload: Upload | None = None
    headers: dict[str, str] = field(default_factory=dict)
    repeatable: bool = True
    """Whether sending it twice does no more than sending it once."""

    accepted: tuple[int, ...] = ()
    """Statuses of failure whose answer is taken as an answer."""

    def with_header(self, name: str, value: str) -> Request:
        return replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True)
class Send:
    """Answered with an `httpx.Response` whose body was read."""

    request: Request


@dataclass(frozen=True)
class Sleep:
    """Answered with None after this time."""

    seconds: float


@dataclass(frozen=True)
class Open:
    """Open the answer as a stream, closing the one before; answered with its `httpx.Response`.

    Only the body of a refusal (status 400 and above) has been read then.
    """

    request: Request
    read_timeout_seconds: float


@dataclass(frozen=True)
class NextEvent:
    """Answered with the open stream's next `ServerSentEvent`, or None at its end."""


@dataclass(frozen=True)
class NextChunk:
    """Answered with the open stream's next bytes, or None at its end."""


@dataclass(frozen=True)
class Item(Generic[T_co]):
    """Hand this to whoever iterates over the stream."""

    value: T_co


Effect = Send | Sleep | Open | NextEvent | NextChunk
Op = Generator[Effect, Any, T]
Flow = Generator[Effect | Item[T], Any, None]
