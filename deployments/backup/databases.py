"""Dumps of our database and of Prefect's, by PostgreSQL's own tools."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from sqlalchemy import URL, make_url

from deployments.backup.errors import BackupError
from deployments.stack import postgres
from deployments.stack.ports import free_ports
from mofsim_settings import Settings

NAMES = ("mofsim", "prefect")
"""Our database and Prefect's, as backups call them."""
_CONNECTIONS = 60
_STOP_SECONDS = 60.0


@contextmanager
def reachable(settings: Settings) -> Iterator[dict[str, URL]]:
    """Addresses of both databases for the length of a block.

    An embedded server that is down is started for it.

    Raises
    ------
    BackupError
        When a configured or running server does not answer, or there is no database yet.
    """
    url = settings.database.url.get_secret_value()
    if url:
        if not _answers(url):
            raise BackupError(f"The database {_without_password(url)} does not answer.")
        yield _both(url)
        return
    if not postgres.data_folder(settings.home).exists():
        raise BackupError(f"There is no database in {settings.home}.")
    with embedded_server(settings.home) as started:
        yield _both(started)


@contextmanager
def embedded_server(home: Path) -> Iterator[str]:
    """The PostgreSQL of a home whose stack is down, for the length of a block; answers our address.

    Raises
    ------
    BackupError
        When it does not start.
    """
    port = free_ports(1)[0]
    url = postgres.url(home, port, postgres.DATABASES[0])
    # In the data folder: how `leftovers` recognizes it, should this process be killed.
    server = subprocess.Popen(
        postgres.server_command(home, port, _CONNECTIONS),
        cwd=postgres.data_folder(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(url):
            if server.poll() is not None:
                raise BackupError(f"The embedded PostgreSQL of {home} does not start.")
            time.sleep(0.05)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(_STOP_SECONDS)


def dump(url: URL, file: Path) -> None:
    """Write a database to a file in PostgreSQL's custom format, as of one moment.

    Raises
    ------
    BackupError
        With the tool's last words.
    """
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")


def check(file: Path) -> None:
    """Raises `BackupError` unless a file is a dump that can be read."""
    _run("pg_restore", None, "--list", str(file))


def is_empty(url: URL) -> bool:
    """Whether a database has no table of its own."""
    with _connection(url) as connection:
        row = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchone()
    return row is None


def load(url: URL, file: Path) -> None:
    """Bring a dump back, in place of whatever the database holds.

    Raises
    ------
    BackupError
        With the tool's last words.
    """
    with _connection(url) as connection:
        # Also what the dump does not know, such as tables of a later version.
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
    _run("pg_restore", url, *options, str(file))


def _both(url: str) -> dict[str, URL]:
    ours = make_url(url).set(drivername="postgresql")
    return {"mofsim": ours, "prefect": ours.set(database="prefect")}


def _answers(url: str) -> bool:
    try:
        with _connection(make_url(url)):
            return True
    except psycopg.OperationalError:
        return False


def _connection(url: URL) -> psycopg.Connection[tuple[object, ...]]:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True, connect_timeout=10)


def _without_password(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _run(tool: str, url: URL | None, *options: str) -> None:
    command, environment = [postgres.tool(tool), *options], dict(os.environ)
    if url is not None:
        # Not on the command line, which every user of the machine can read.
        environment["PGPASSWORD"] = url.password or ""
        open_part = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
        command.append(f"--dbname={open_part.render_as_string()}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise BackupError(f"{tool} failed:\n{tail}")
