"""The gateway's log: JSON lines on standard output and in files (`mofsim_logs`), and a ring of the
latest lines for those who watch."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from api_gateway.metrics import instruments
from mofsim_logs import LogFiles, encode, kind_of, timestamp

_TOP = ("timestamp", "level", "logger", "message", "task_id", "gpu_id", "request_id")
_KEPT_LINES = 1000
_WAITING_LINES = 1000


class LogRing:
    """The latest lines, and a queue for each watcher; a slow watcher loses lines, not memory."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=_KEPT_LINES)
        self._watchers: set[asyncio.Queue[dict[str, Any]]] = set()

    def add(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        for watcher in self._watchers:
            with contextlib.suppress(asyncio.QueueFull):
                watcher.put_nowait(line)

    @contextlib.contextmanager
    def watch(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """A queue that holds the latest lines and receives those to come."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_KEPT_LINES + _WAITING_LINES)
        for line in self._lines:
            queue.put_nowait(line)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)


class NamedLogger(structlog.PrintLogger):
    """Prints to standard output, and knows what it was called in `get_logger(name)`."""

    def __init__(self, name: str = "gateway") -> None:
        super().__init__()
        self.name = name


def _stamp(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event["timestamp"] = timestamp(datetime.now(UTC))
    return event


def configure(ring: LogRing, files: LogFiles | None = None) -> None:
    """Set structlog up for this process, once, at its start."""

    def shape(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
        event["logger"] = logger.name
        event["message"] = event.pop("event")
        event["level"] = str(event["level"]).upper()
        extra = {name: event[name] for name in list(event) if name not in _TOP}
        line = {name: event[name] for name in _TOP if name in event} | {"extra": extra}
        ring.add(line)
        kind = kind_of(logger.name)
        instruments.log_lines.labels(kind, line["level"]).inc()
        if files is not None:
            files.write(kind, [encode(line)])
        return line

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp,
            structlog.processors.format_exc_info,
            shape,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=NamedLogger,
        cache_logger_on_first_use=True,
    )
