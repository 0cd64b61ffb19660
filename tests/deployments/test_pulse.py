"""A pulse tells a live process from a dead, a frozen and a later one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deployments.pulse import Pulse, read_pulses, tell_systemd


def test_a_beating_process_is_young_and_found(tmp_path: Path) -> None:
    pulse = Pulse.of_this_process(2, "worker")
    pulse.begin(tmp_path)
    pulse.beat(tmp_path)
    ((read, age_seconds),) = read_pulses(tmp_path)
    assert (read, age_seconds < 5.0) == (pulse, True)
    process = read.process()
    assert process is not None
    assert process.pid == os.getpid()


def test_another_process_with_the_same_pid_is_not_taken_for_it() -> None:
    pulse = Pulse.of_this_process(2, "worker")
    assert replace(pulse, started=pulse.started - 100.0).process() is None


def test_a_silent_process_grows_old(tmp_path: Path) -> None:
    pulse = Pulse.of_this_process(2, "worker")
    pulse.begin(tmp_path)
    os.utime(pulse.file(tmp_path), (0, 0))
    ((_, age_seconds),) = read_pulses(tmp_path)
    assert age_seconds > 1e9


def test_a_process_that_died_and_was_not_buried_yet_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pulse = Pulse(0, "worker", dead.pid, psutil.Process(dead.pid).create_time())
        while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert pulse.process() is None


def test_systemd_is_told_at_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5.0)
        tell_systemd()
        assert systemd.recv(100) == b"WATCHDOG=1"


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_systemd()
