"""Processes of a stack that outlived their supervisor, found by marks they cannot lose."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from deployments.stack import postgres
from deployments.stack.parts import MARKER

KILLED_SECONDS = 5.0
"""Longest wait for the kernel to clear killed processes away."""


def find(home: Path) -> list[psutil.Process]:
    """Every process of the stack in `home`, its supervisor included."""
    data = str(postgres.data_folder(home))
    mine: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            environment = {}
        # PostgreSQL's backends overwrite their environment with a title; they all sit in the data
        # folder.
        if environment.get(MARKER) == str(home) or _folder(process) == data:
            mine.append(process)
    return mine


def stop(home: Path, patience_seconds: float = 5.0) -> int:
    """End what is left of a stack, gently first; answer how many processes there were.

    The calling process is spared: the keeper is itself one of them.
    """
    found = others(home)
    for process in found:
        _signal(process, "terminate")
    _, stubborn = psutil.wait_procs(found, timeout=patience_seconds)
    # A nanny may have started another worker meanwhile.
    for process in {*stubborn, *others(home)}:
        _signal(process, "kill")
    psutil.wait_procs(others(home), timeout=KILLED_SECONDS)
    return len(found)


def others(home: Path) -> list[psutil.Process]:
    """Every process of the stack but the calling one."""
    return [process for process in find(home) if process.pid != os.getpid()]


def _folder(process: psutil.Process) -> str:
    try:
        return str(process.cwd())
    except (psutil.Error, OSError):
        return ""


def _signal(process: psutil.Process, how: str) -> None:
    try:
        getattr(process, how)()
    except psutil.NoSuchProcess:
        return
