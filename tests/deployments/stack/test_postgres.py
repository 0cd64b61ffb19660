"""The embedded PostgreSQL by itself."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.stack import ports, postgres
from deployments.stack.home import write_private


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose name needs care in commands, below a folder that only its owner may enter."""
    parent = Path(tempfile.mkdtemp(prefix="mofsim-pg-"))
    home = parent / "a home with 100 %"
    home.mkdir()
    yield home
    shutil.rmtree(parent)


def test_an_interrupted_preparation_is_made_again_and_both_databases_need_the_password(home: Path) -> None:
    (home / "postgres.partial").mkdir()
    (home / "postgres.partial" / "PG_VERSION").write_text("half")
    write_private(home / "postgres.password", "kept\n")

    postgres.prepare(home)
    postgres.prepare(home)

    port = ports.free_ports(1)[0]
    server = subprocess.Popen(
        postgres.server_command(home, port, 20), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for database in postgres.DATABASES:
            url = postgres.url(home, port, database)
            assert ":kept@" in url
            with connected(url) as connection:
                assert connection.execute("SELECT current_database(), current_user").fetchone() == (
                    database,
                    postgres.OWNER,
                )
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace(":kept@", ":guessed@"))
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0


def connected(url: str) -> psycopg.Connection:
    deadline = time.monotonic() + 60
    while True:
        try:
            return psycopg.connect(url)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
