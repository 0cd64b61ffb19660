"""Waiting in tests, with a limit and a name for what did not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mofsim_client import Task, TaskStatus

PATIENCE_SECONDS = 300.0
"""A limit for what should take seconds: only a hang, not a busy machine, fails a test."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def wait_until_running(task: Task[Any], steps: int = 2, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until a task computes: its calculation has reported a few steps."""

    def computes() -> bool:
        info = task.refresh()
        assert not info.status.ended, info
        progress = info.progress
        return info.status is TaskStatus.RUNNING and bool(progress and (progress.current_step or 0) >= steps)

    wait_for(computes, f"{task.id} computing", seconds)
