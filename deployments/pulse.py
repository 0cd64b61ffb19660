"""A process's sign of life on its own machine: a small file that it touches every second.

Unlike a report to the database it keeps telling the truth while the database is away.
"""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Pulse:
    """Who touches the file; `started` tells a process from a later one with its pid."""

    gpu_id: int
    role: str
    pid: int
    started: float

    @classmethod
    def of_this_process(cls, gpu_id: int, role: str) -> Pulse:
        return cls(gpu_id, role, os.getpid(), psutil.Process().create_time())

    def file(self, folder: Path) -> Path:
        return folder / f"{self.role}-{self.gpu_id}.pulse"

    def beat(self, folder: Path) -> None:
        """Write the file, or touch it."""
        file = self.file(folder)
        try:
            os.utime(file)
        except FileNotFoundError:
            self.begin(folder)

    def begin(self, folder: Path) -> None:
        """Take the file over from an earlier process."""
        folder.mkdir(parents=True, exist_ok=True)
        partial = self.file(folder).with_suffix(f".{self.pid}")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(self.file(folder))

    def process(self) -> psutil.Process | None:
        """The process, if it still lives: one that only waits to be buried does not."""
        try:
            process = psutil.Process(self.pid)
            mine = abs(process.create_time() - self.started) < 1.0
            return process if mine and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def tell_systemd() -> None:
    """Say to systemd that this process works, where a unit's `WatchdogSec` asks for it.

    The protocol of `sd_notify(3)`; for a unit's main process only, others are not listened to.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        # A name in the abstract namespace is written with an @ in front.
        systemd.sendto(b"WATCHDOG=1", address.replace("@", "\0", 1))


def read_pulses(folder: Path) -> list[tuple[Pulse, float]]:
    """Every pulse of a folder with its age in seconds."""
    pulses = []
    for file in folder.glob("*.pulse"):
        try:
            pulses.append((Pulse(**json.loads(file.read_text())), time.time() - file.stat().st_mtime))
        except (FileNotFoundError, ValueError, TypeError):
            # Replaced while we looked, or left half written by a full disk: the next look tells.
            continue
    return pulses
