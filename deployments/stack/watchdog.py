"""Ends parts that live and do nothing: Supervisor starts again what died, not what hangs.

Only the GPU hosts are left to the pool worker (`deployments/worker/host_guard.py`), which is watched here.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from deployments.stack import supervision
from deployments.stack.health import problem_of
from mofsim_settings import Settings

WATCHED = frozenset({"postgres", "prefect", "scheduler", "gateway", "worker"})
LOOK_SECONDS = 5.0
SILENT_SECONDS = 30.0
"""Longer than a busy machine makes a part hesitate, and well within a minute to a working stack."""
LEAST_LOOKS = 3
"""A machine that slept has silent parts at its first look."""
START_SECONDS = 300.0
"""A part that has not answered yet may still be starting."""

_log = logging.getLogger(__name__)


@dataclass
class _Watch:
    """What is known of one process of a part."""

    pid: int
    since: float
    """When it answered last, or was seen first; monotonic seconds."""
    answered: bool = False
    failed_looks: int = 0


class Watchdog:
    """Looks at the parts of one embedded stack, for as long as they are not stopped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watches: dict[str, _Watch] = {}

    def run(self) -> None:
        """Look for ever; nothing that goes wrong with a look ends it."""
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                self.look()
            except Exception:
                _log.exception("A look at the parts failed")

    def look(self) -> None:
        """Ask every part for an answer; kill what has owed one for too long."""
        for process in supervision.states(self._settings.home):
            if process.name not in WATCHED or process.state != "RUNNING":
                continue
            watch = self._watches.get(process.name)
            if watch is None or watch.pid != process.pid:
                watch = self._watches[process.name] = _Watch(process.pid, time.monotonic())
            problem = problem_of(self._settings, process.name)
            if problem is None:
                watch.since, watch.answered, watch.failed_looks = time.monotonic(), True, 0
                continue
            watch.failed_looks += 1
            silent = time.monotonic() - watch.since
            patience = SILENT_SECONDS if watch.answered else START_SECONDS
            if silent > patience and watch.failed_looks >= LEAST_LOOKS:
                _log.error(
                    "Killing %s (pid %d), silent for %.0f s: %s", process.name, process.pid, silent, problem
                )
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
