"""The log of every part: one format (section 6.3 of the requirements), four kinds, a file a day.

`<home>/logs/<kind>/<YYYY-MM-DD>.jsonl` holds the lines of a day (UTC) of all processes of this home.
Nothing here removes a line: what becomes of old files is `deployments/maintenance`'s.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Kind = Literal["system", "task", "access", "audit"]
KINDS: tuple[Kind, ...] = ("system", "task", "access", "audit")

_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of every `logging` record; others were given by the caller."""


def kind_of(logger: str) -> Kind:
    """Which log the lines of a logger belong to."""
    first = logger.partition(".")[0]
    if first in ("task", "access", "audit"):
        return first  # type: ignore[return-value]
    return "system"


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: `2026-01-30T10:00:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(line: dict[str, Any]) -> str:
    """One line of JSON."""
    return json.dumps(line, ensure_ascii=False, default=str)


class LogFiles:
    """Appends lines to the files of the day; thread-safe, and safe beside other processes.

    Parameters
    ----------
    folder
        `<home>/logs`.

    Notes
    -----
    Lines of one call are written at once in append mode, so those of several processes do not mix.
    A disk that is full or away costs lines of the file, never the work that is being logged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[Kind, tuple[str, int]] = {}
        self.lost = 0
        """Lines that could not be written."""

    def write(self, kind: Kind, lines: Sequence[str]) -> None:
        """Append lines of one kind."""
        if not lines:
            return
        content = "".join(f"{line}\n" for line in lines).encode()
        with self._lock:
            try:
                descriptor = self._descriptor(kind)
                while content:
                    content = content[os.write(descriptor, content) :]
            except OSError:
                self.lost += len(lines)

    def close(self) -> None:
        with self._lock:
            for _, descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()

    def _descriptor(self, kind: Kind) -> int:
        day = datetime.now(UTC).date().isoformat()
        present = self._open.get(kind)
        if present is not None and present[0] == day:
            return present[1]
        file = self._folder / kind / f"{day}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        if present is not None:
            os.close(present[1])
        self._open[kind] = (day, descriptor)
        return descriptor


class JsonFormatter(logging.Formatter):
    """Renders records of the standard library in the one format.

    Parameters
    ----------
    gpu_id
        The GPU of this process, if it is one's host.
    """

    def __init__(self, gpu_id: int | None = None) -> None:
        super().__init__()
        self._gpu_id = gpu_id

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
        if record.exc_info:
            extra["exception"] = self.formatException(record.exc_info)
        line: dict[str, Any] = {
            "timestamp": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._gpu_id is not None:
            line["gpu_id"] = self._gpu_id
        return encode(line | {"extra": extra})


class _FileHandler(logging.Handler):
    def __init__(self, files: LogFiles) -> None:
        super().__init__()
        self._files = files

    def emit(self, record: logging.LogRecord) -> None:
        self._files.write(kind_of(record.name), [self.format(record)])


def log_to_files(folder: Path, *, gpu_id: int | None = None) -> LogFiles:
    """Set the standard library's logging up for this process: standard output and the files."""
    files = LogFiles(folder)
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.INFO)
    handlers: tuple[logging.Handler, ...] = (logging.StreamHandler(sys.stdout), _FileHandler(files))
    for handler in handlers:
        handler.setFormatter(JsonFormatter(gpu_id))
        root.addHandler(handler)
    return files
