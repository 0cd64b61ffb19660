"""A real gateway process on a real PostgreSQL, reached over HTTP as any client would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from mofsim_client import MOFSimClient

from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.execution import free_port
from tests.fixtures.postgres import PostgresServer
from tests.sdk.execution_by_hand import Hands

T = TypeVar("T")


def wait_until(condition: Callable[[], T]) -> T:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + 120
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Gateway:
    """A running gateway and the home folder that tells the client where it is."""

    url: str
    home: Path
    hands: Hands


@contextmanager
def running_gateway(home: Path) -> Iterator[str]:
    """A gateway process on a home made by `new_home`; yields its address."""
    port = json.loads((home / "run" / "stack.json").read_text())["gateway"]["port"]
    url = f"http://127.0.0.1:{port}"
    log = home / "gateway.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "api_gateway", "--home", str(home)],
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        while not answers(url):
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def new_home(home: Path, database_url: str) -> Path:
    """Write what the stack writes about itself, but without Prefect: nothing is placed by itself."""
    written = {
        "database": {"url": database_url},
        "gateway": {"host": "127.0.0.1", "port": free_port(), "webhook_allowed_hosts": ["127.0.0.1"]},
        "prefect": {"api_url": "http://127.0.0.1:9/api"},
        "scheduling": {"lost_after_seconds": 3600},
        "alerts": {"check_seconds": 0.5, "resend_seconds": 1.0},
    }
    (home / "run").mkdir()
    (home / "run" / "stack.json").write_text(json.dumps(written))
    return home


@pytest.fixture(scope="session")
def gateway(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway, started as the stack starts it."""
    database_url = postgres_server.create_database(template="mofsim_template")
    home = new_home(tmp_path_factory.mktemp("home"), database_url)
    try:
        with running_gateway(home) as url:
            sql = Sql.connect(database_url)
            yield Gateway(url, home, Hands(sql, home / "storage"))
            sql.connection.close()
    finally:
        postgres_server.drop_database(database_url)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/health/live", timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def client(gateway: Gateway) -> Iterator[MOFSimClient]:
    """A client that finds the gateway and its key by the home folder."""
    with MOFSimClient(home=gateway.home) as client:
        yield client


@pytest.fixture
def hands(gateway: Gateway) -> Hands:
    return gateway.hands
