"""Kills GPU hosts of this machine that hang, or that the gateway wants dead.

A killed worker process is started again by its nanny, a killed nanny by the process manager.
"""

from __future__ import annotations

import asyncio
import logging
import socket

import psutil

from deployments.pulse import Pulse, read_pulses
from mofsim_settings import Settings
from tasks.database import ReportDatabase, Unavailable

LOOK_SECONDS = 2.0

_log = logging.getLogger(__name__)


class HostGuard:
    """Watches the hosts whose pulse files lie in this machine's run folder."""

    def __init__(self, settings: Settings, database: ReportDatabase) -> None:
        self._folder = settings.run_dir / "hosts"
        self._silence_seconds = settings.scheduling.lost_after_seconds
        self._database = database

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self.look)

    async def kill(self, gpu_id: int, reason: str) -> None:
        """Kill the worker process of a GPU's host."""
        for pulse, _ in read_pulses(self._folder):
            if pulse.gpu_id == gpu_id and pulse.role == "worker":
                _kill(pulse, reason)

    def look(self) -> None:
        """Kill what has been silent too long, and what the gateway asks for."""
        pulses = read_pulses(self._folder)
        for pulse, age_seconds in pulses:
            if age_seconds > self._silence_seconds:
                _kill(pulse, f"silent for {age_seconds:.0f} s")
        try:
            wanted = self._database.slot_kills(socket.gethostname())
        except Unavailable:
            return
        for pulse, _ in pulses:
            if pulse.role == "worker" and (pulse.gpu_id, pulse.pid) in wanted:
                _kill(pulse, "the gateway asks for it")


def _kill(pulse: Pulse, reason: str) -> None:
    process = pulse.process()
    if process is None:
        return
    _log.warning("Killing the %s of GPU %d (pid %d): %s", pulse.role, pulse.gpu_id, pulse.pid, reason)
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
