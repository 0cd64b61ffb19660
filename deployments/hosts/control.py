"""The threads beside the stages: report the slot every second, load and unload on command."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from deployments.hosts.sensors import Sensor
from deployments.pulse import Pulse
from mof_benchmark.errors import MofsimError
from tasks.database import Unavailable
from tasks.failures import error_document
from tasks.host import Host

REPORT_SECONDS = 1.0
MAKE_WAY_SECONDS = 0.1
"""Between two looks at whether the device is lost, and for a stage's failure to reach its flow."""

_log = logging.getLogger(__name__)


class Control:
    """Runs from the host's start to its end, over any outage of the database.

    Parameters
    ----------
    host
        The slot.
    sensor
        Looks at its device.
    boot_id
        Tells this start of the host from all others.
    dask_address
        Where the slot's Dask worker listens.
    connected
        Whether the worker is known to the scheduler: only then can a stage reach the slot.
    pulses
        Folder of pulse files.
    """

    def __init__(
        self,
        host: Host,
        sensor: Sensor,
        *,
        boot_id: str,
        dask_address: str,
        connected: Callable[[], bool],
        pulses: Path,
    ) -> None:
        self._host = host
        self._sensor = sensor
        self._boot_id = boot_id
        self._dask_address = dask_address
        self._connected = connected
        self._pulse = Pulse.of_this_process(host.gpu_id, "worker")
        self._pulses = pulses
        self._ended = threading.Event()
        self._wanted: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._taken: set[str] = set()

    def start(self) -> None:
        self._pulse.begin(self._pulses)
        for work in (self._beat, self._report, self._obey, self._make_way):
            threading.Thread(target=work, name=f"host {work.__name__}", daemon=True).start()
        for model in self._host.settings.compute.preload_models:
            self._wanted.put({"command_id": None, "action": "load", "model": model})

    def stop(self) -> None:
        """End, and tell that nothing can be computed here any more."""
        self._ended.set()
        with suppress(*Unavailable):
            self._host.database.slot_report(self._host.gpu_id, self._boot_id, self._document())

    def _beat(self) -> None:
        # A thread of its own: it must tell a frozen process from one whose database is away.
        while not self._ended.wait(REPORT_SECONDS):
            self._pulse.beat(self._pulses)

    def _report(self) -> None:
        away = False
        while not self._ended.is_set():
            begun = time.monotonic()
            try:
                commands = self._host.database.slot_report(self._host.gpu_id, self._boot_id, self._document())
            except Unavailable:
                if not away:
                    _log.warning("GPU %d cannot report: the database is away", self._host.gpu_id)
                away = True
            except Exception:
                _log.exception("GPU %d could not report", self._host.gpu_id)
            else:
                away = False
                for command in commands:
                    if command["command_id"] not in self._taken:
                        self._taken.add(command["command_id"])
                        self._wanted.put(command)
            self._ended.wait(max(0.0, REPORT_SECONDS - (time.monotonic() - begun)))

    def _make_way(self) -> None:
        """End a process to which its device is lost, once its stage has told; its nanny starts another."""
        while not self._ended.wait(MAKE_WAY_SECONDS):
            if self._host.broken is not None and self._host.current is None:
                _log.error(
                    "GPU %d is lost to this process, which ends: %s", self._host.gpu_id, self._host.broken
                )
                self._ended.wait(MAKE_WAY_SECONDS)
                os._exit(1)

    def _document(self) -> dict[str, Any]:
        current = self._host.current
        connected = self._connected() and not self._ended.is_set()
        reading = self._sensor.read()
        if reading.ok and not connected:
            reading = replace(reading, ok=False, error="The Dask scheduler does not know the host.")
        if reading.ok and self._host.broken is not None:
            reading = replace(reading, ok=False, error=self._host.broken)
        return {
            **asdict(reading),
            "host": socket.gethostname(),
            "pid": self._pulse.pid,
            "warm_models": list(self._host.warm_models),
            "current": None if current is None else {"task_id": current.task_id, "attempt": current.attempt},
            "dask_address": self._dask_address,
            "connected": connected,
        }

    def _obey(self) -> None:
        while not self._ended.is_set():
            try:
                command = self._wanted.get(timeout=REPORT_SECONDS)
            except queue.Empty:
                continue
            self._execute(command)

    def _execute(self, command: dict[str, Any]) -> None:
        while not self._ended.is_set():
            with self._host.idle() as free:
                if free:
                    error = self._change_models(command["action"], command["model"])
                    break
            # A stage is computing; it goes first, and so does the next one that waits.
            self._ended.wait(0.2)
        else:
            return
        if command["command_id"] is not None:
            self._close_command(command["command_id"], error)

    def _change_models(self, action: str, model: str) -> dict[str, Any] | None:
        try:
            if action == "load":
                self._host.load(model)
            else:
                self._host.unload(model)
        except MofsimError as error:
            _log.warning("Model %s: %s failed: %s", model, action, error.detail)
            return dict(error_document(error, None))
        except Exception as error:
            _log.exception("Model %s: %s failed", model, action)
            return dict(error_document(error, None))
        _log.info("Model %s: %s done", model, action)
        return None

    def _close_command(self, command_id: str, error: dict[str, Any] | None) -> None:
        while not self._ended.is_set():
            try:
                self._host.database.command_done(command_id, error)
            except Unavailable:
                self._ended.wait(REPORT_SECONDS)
            else:
                self._taken.discard(command_id)
                return
