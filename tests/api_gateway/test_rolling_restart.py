"""SIGHUP replaces the gateway's processes while clients go on reading and submitting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from mofsim_client import MOFSimClient

from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.execution import free_port
from tests.fixtures.gateway import NOBODY

PATIENCE_SECONDS = 300.0
PAUSE_SECONDS = 0.05


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def gateway(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Two serving processes behind one port, as in production."""
    port = free_port()
    facts = {
        "database": {"url": database_url},
        "prefect": {"api_url": NOBODY},
        "gateway": {"port": port, "processes": 2},
        "scheduling": {"lost_after_seconds": 3600},
    }
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text(json.dumps(facts))
    words = [sys.executable, "-m", "api_gateway", "--home", str(tmp_path)]
    with (tmp_path / "gateway.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)

    def serves() -> bool:
        assert process.poll() is None, (tmp_path / "gateway.log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/v1/health/live").is_success
        except httpx.TransportError:
            return False

    try:
        wait_for(serves)
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def serving(gateway: subprocess.Popen[bytes]) -> set[int]:
    """The processes that were started to serve (one more keeps account of shared resources)."""
    found = set()
    for child in psutil.Process(gateway.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends while we look
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def test_no_request_fails_while_every_process_is_replaced(
    gateway: subprocess.Popen[bytes], database_url: str, tmp_path: Path
) -> None:
    wait_for(lambda: len(serving(gateway)) == 2)
    old = serving(gateway)
    over = threading.Event()
    failures: list[Exception] = []
    submitted: list[str] = []
    read = 0

    def submit() -> None:
        with MOFSimClient(home=tmp_path) as client:
            while not over.is_set():
                try:
                    submitted.append(client.submit_single_point("SOD", "sevennet_prod").id)
                except Exception as error:
                    failures.append(error)
                over.wait(PAUSE_SECONDS)

    def look() -> None:
        nonlocal read
        with MOFSimClient(home=tmp_path) as client:
            while not over.is_set():
                try:
                    client.get_system_status()
                    read += 1
                except Exception as error:
                    failures.append(error)
                over.wait(PAUSE_SECONDS)

    clients = [threading.Thread(target=work) for work in (submit, look)]
    for thread in clients:
        thread.start()
    try:
        wait_for(lambda: len(submitted) > 5 and read > 5)
        os.kill(gateway.pid, signal.SIGHUP)
        wait_for(lambda: len(serving(gateway)) == 2 and not serving(gateway) & old)
        enough = len(submitted) + 5, read + 5
        wait_for(lambda: len(submitted) > enough[0] and read > enough[1])
    finally:
        over.set()
        for thread in clients:
            thread.join()

    assert failures == []
    sql = Sql.connect(database_url)
    stored = [row["id"] for row in sql.rows("SELECT id FROM tasks")]
    sql.connection.close()
    # A submission that was sent again because its answer was lost is one task all the same.
    assert sorted(stored) == sorted(submitted)
