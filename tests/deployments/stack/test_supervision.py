"""Supervisor under our configuration, with parts that only wait."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.stack import leftovers, supervision
from deployments.stack.home import make_home
from deployments.stack.parts import Part
from mofsim_settings import Settings

WAIT = [sys.executable, "-c", "import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)"]


@pytest.fixture
def settings() -> Iterator[Settings]:
    """A home with a name that needs quoting, too long for a socket's path."""
    parent = Path(tempfile.mkdtemp(prefix="mofsim-sv-"))
    settings = Settings(home=parent / ("100 % 'quoted' " + "x" * 120))
    make_home(settings)
    yield settings
    leftovers.stop(settings.home)
    supervision.socket_file(settings.home).unlink(missing_ok=True)
    shutil.rmtree(parent)


def test_a_killed_part_is_started_again_and_a_shutdown_leaves_no_process(settings: Settings) -> None:
    parts = [
        Part(name="one", command=[*WAIT, "50 %", 'a "b"'], order=10),
        Part(name="many", command=[*WAIT, "%(process_num)d"], order=20, count=2),
    ]
    supervision.write_config(settings, parts)
    supervision.start(settings)
    wait_for(lambda: running(settings) == {"one", "many-0", "many-1"})
    assert (settings.log_dir / "one.log").read_text() == "['50 %', 'a \"b\"']\n"
    assert (settings.log_dir / "many-1.log").read_text() == "['1']\n"

    victim = next(state.pid for state in supervision.states(settings.home) if state.name == "many-1")
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in {state.pid for state in supervision.states(settings.home)})
    wait_for(lambda: running(settings) == {"one", "many-0", "many-1"})

    supervision.shut_down(settings.home)
    wait_for(lambda: leftovers.find(settings.home) == [])
    assert supervision.running_pid(settings.home) is None


def test_what_a_killed_supervisor_leaves_behind_is_found_and_ended(settings: Settings) -> None:
    stubborn = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    )
    supervision.write_config(
        settings, [Part(name="stubborn", command=[sys.executable, "-c", stubborn], order=10)]
    )
    supervisor = supervision.start(settings)
    log = settings.log_dir / "stubborn.log"
    wait_for(lambda: log.exists() and log.read_text() == "ready\n")

    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    assert len(leftovers.find(settings.home)) == 1

    assert leftovers.stop(settings.home, patience_seconds=0.5) == 1
    assert leftovers.find(settings.home) == []


def running(settings: Settings) -> set[str]:
    return {state.name for state in supervision.states(settings.home) if state.state == "RUNNING"}


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
