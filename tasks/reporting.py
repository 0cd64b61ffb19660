"""An attempt's reports while a stage computes: progress, log lines, and whether to stop."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from mof_benchmark.errors import StoppedError
from mof_benchmark.schemas import CalculationRequest
from mofsim_logs import LogFiles, encode, timestamp
from tasks.database import Answer, ReportDatabase, Unavailable
from tasks.failures import ReplacedError

INTERVAL_SECONDS = 0.4
BUFFERED_LINES = 10_000
STEP_LINES = 200
"""About as many lines of a stage's log tell of its steps; progress tells of every one."""
FIRST_STEPS = 10
"""… and each of the first: where a calculation goes wrong early, they say how."""

LineSink = Callable[[int, str], None]
"""Where log lines go besides the database: (level, message)."""


class AttemptReporter:
    """The `mof_benchmark.monitor.Monitor` of an attempt on a GPU host.

    A step costs the calculation an assignment: a background thread writes what has gathered, about
    twice a second, and learns from the answers whether the attempt must stop. While the database
    is away, lines wait (the oldest leave when the buffer is full, and are counted).

    Use it as a context manager around a stage; leaving it writes the rest.

    Parameters
    ----------
    database
        Where reports go.
    request
        The attempt.
    heartbeat_seconds
        Longest silence, when a stage has nothing to report.
    patience_seconds
        How long leaving waits for a database that is away.
    also
        Another place for the log lines (the run's log in Prefect).
    files
        Where the lines that the database took are kept as well.
    """

    def __init__(
        self,
        database: ReportDatabase,
        request: CalculationRequest,
        *,
        heartbeat_seconds: float,
        patience_seconds: float,
        also: LineSink | None = None,
        files: LogFiles | None = None,
    ) -> None:
        self._database = database
        self._request = request
        self._heartbeat_seconds = heartbeat_seconds
        self._patience_seconds = patience_seconds
        self._also = also
        self._files = files
        self._lines: deque[dict[str, Any]] = deque()
        self._dropped = 0
        self._progress: tuple[str, int, int | None, dict[str, float]] | None = None
        self._answer: Answer = "go"
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reports of {request.task_id}", daemon=True)

    def __enter__(self) -> AttemptReporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finishing.set()
        self._thread.join(self._patience_seconds + 5.0)

    def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
        self._progress = (stage, current, total, values)
        if current < FIRST_STEPS or current % max(1, (total or 0) // STEP_LINES) == 0:
            self.log("INFO", _step_line(stage, current, values), stage=stage, step=current, **_finite(values))
        self.raise_if_stopped()

    def log(self, level: str, message: str, **extra: Any) -> None:
        if len(self._lines) >= BUFFERED_LINES:
            self._lines.popleft()
            self._dropped += 1
        self._lines.append(
            {
                "timestamp": timestamp(datetime.now(UTC)),
                "level": level,
                "logger": f"task.{self._request.task_type}",
                "message": message,
                "gpu_id": self._request.gpu_id,
                "extra": {**extra, "request_id": self._request.request_id},
            }
        )

    def raise_if_stopped(self) -> None:
        """Raise `StoppedError` when the last answer told the attempt to end."""
        if self._answer == "stop":
            raise StoppedError("Stopped on request.")
        if self._answer == "fenced":
            raise ReplacedError("A newer attempt has taken over.")

    def _run(self) -> None:
        last_write = 0.0
        while True:
            finishing = self._finishing.wait(INTERVAL_SECONDS)
            due = time.monotonic() - last_write >= self._heartbeat_seconds
            wanted = self._lines or self._progress is not None or (due and not finishing)
            if wanted and self._write():
                last_write = time.monotonic()
            if finishing:
                break
        deadline = time.monotonic() + self._patience_seconds
        while (self._lines or self._progress is not None) and time.monotonic() < deadline:
            if not self._write():
                time.sleep(INTERVAL_SECONDS)

    def _write(self) -> bool:
        """Write what has gathered; what could not be written stays for the next time."""
        progress, self._progress = self._progress, None
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if self._dropped:
            lines.insert(0, self._loss())
        try:
            self._answer = self._database.report(
                self._request, None if progress is None else _progress_document(*progress), lines
            )
        except Unavailable:
            self._lines.extendleft(reversed(lines))
            if self._progress is None:
                self._progress = progress
            return False
        if self._files is not None and self._answer != "fenced":
            self._files.write("task", [encode(self._with_task(line)) for line in lines])
        if self._also is not None:
            for line in lines:
                self._also(logging.getLevelNamesMapping().get(line["level"], logging.INFO), line["message"])
        return True

    def _with_task(self, line: dict[str, Any]) -> dict[str, Any]:
        extra = line["extra"] | {"attempt": self._request.attempt}
        return line | {"task_id": self._request.task_id, "extra": extra}

    def _loss(self) -> dict[str, Any]:
        dropped, self._dropped = self._dropped, 0
        return {
            "timestamp": timestamp(datetime.now(UTC)),
            "level": "WARNING",
            "logger": "task",
            "message": f"{dropped} log lines were lost while the database was away.",
            "gpu_id": self._request.gpu_id,
            "extra": {"request_id": self._request.request_id},
        }


def _progress_document(
    stage: str, current: int, total: int | None, values: dict[str, float]
) -> dict[str, Any]:
    return {
        "stage": stage,
        "current_step": current,
        "total_steps": total,
        "percentage": round(100.0 * current / total, 2) if total else None,
        "values": _finite(values),
    }


def _finite(values: dict[str, float]) -> dict[str, float]:
    """NaN has no place in JSON."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _step_line(stage: str, current: int, values: dict[str, float]) -> str:
    shown = ", ".join(f"{name} {value:.8g}" for name, value in values.items())
    return f"{stage}, step {current}: {shown}" if shown else f"{stage}, step {current}"
