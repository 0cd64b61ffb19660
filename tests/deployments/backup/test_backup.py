"""Backups of a real home: its PostgreSQL, its gateway, its files; then the home is destroyed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import structlog
from click.testing import Result
from typer.testing import CliRunner

from api_gateway.database import libpq_url, upgrade
from api_gateway.keys.service import ensure_admin_key
from deployments.backup.databases import embedded_server
from deployments.backup.snapshots import Snapshot, Store
from deployments.cli.app import app
from deployments.stack import postgres
from deployments.stack.home import make_home, stack_file, write_stack_file
from mofsim_settings import Settings, load_settings
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import NOBODY, serve

TRAJECTORY = b"trajectory " * 1000


def mofsim(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def done(*words: str) -> str:
    result = mofsim(*words)
    assert result.exit_code == 0, result.output
    return result.output


@contextlib.contextmanager
def database_of(home: Path) -> Iterator[Settings]:
    """The embedded PostgreSQL of a home while it runs, and the settings that name it."""
    make_home(Settings(home=home))
    postgres.prepare(home)
    with embedded_server(home) as url:
        facts = {
            "database": {"url": url},
            "prefect": {"api_url": NOBODY},
            "scheduling": {"lost_after_seconds": 3600},
        }
        write_stack_file(home, facts)
        try:
            yield load_settings(home)
        finally:
            stack_file(home).unlink()


@contextlib.contextmanager
def gateway_of(settings: Settings) -> Iterator[httpx.Client]:
    upgrade(settings.database.url.get_secret_value())
    asyncio.run(ensure_admin_key(settings))
    key = settings.admin_key_file.read_text().strip()
    with (
        serve(settings) as url,
        httpx.Client(base_url=f"{url}/api/v1", headers={"X-API-Key": key}, timeout=60) as client,
    ):
        yield client


def sql_of(settings: Settings) -> Sql:
    return Sql.connect(libpq_url(settings.database.url.get_secret_value()))


def submit(client: httpx.Client) -> str:
    body = {"model": "sevennet_prod", "structure": {"source": "builtin", "name": "Mg-MOF-74"}}
    answer = client.post("/tasks/single-point-energy", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["data"]["task_id"])


def asked(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    deadline = time.monotonic() + 60
    while answer.status_code == 503 and time.monotonic() < deadline:
        # So busy a machine that a connection was not made in time.
        time.sleep(1)
        answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def complete(settings: Settings, task_id: str) -> str:
    """Play the flow and the host of a task that ends well, with one file; answers the file's id."""
    place = f"results/{task_id}/1/trajectory.extxyz"
    path = settings.storage_root / place
    path.parent.mkdir(parents=True)
    path.write_bytes(TRAJECTORY)
    file = {
        "file_id": f"file_{task_id[5:]}",
        "role": "trajectory",
        "path": place,
        "media_type": "text/plain",
        "size_bytes": len(TRAJECTORY),
        "sha256": hashlib.sha256(TRAJECTORY).hexdigest(),
    }
    sql = sql_of(settings)
    sql.bind(task_id)
    sql.start(task_id)
    assert sql.call("attempt_result", task_id, 1, {"converged": True, "energy_eV": -1.5}, [file]) == "go"
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)
    sql.connection.close()
    return str(file["file_id"])


@pytest.fixture(scope="module", autouse=True)
def _quiet_log() -> None:
    # The default renders tracebacks in colour, which takes seconds of the gateway's event loop.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A parent for homes and backups that PostgreSQL's own user may pass."""
    made = Path(tempfile.mkdtemp(prefix="mofsim-backup-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_a_destroyed_home_comes_back_with_its_queued_and_ended_tasks(folder: Path) -> None:
    home, backups = folder / "home", folder / "backups"
    where = ("--home", str(home), "--folder", str(backups))
    with database_of(home) as settings:
        with gateway_of(settings) as client:
            ended, queued = submit(client), submit(client)
            file_id = complete(settings, ended)
        with psycopg.connect(postgres.url(home, _port(settings), "prefect"), autocommit=True) as prefect:
            prefect.execute("CREATE TABLE flow_run (name text)")
            prefect.execute("INSERT INTO flow_run VALUES ('kept')")
        (home / "mofsim.toml").write_text('[gateway]\nlanguage = "zh"\n')
        key, secret = settings.admin_key_file.read_bytes(), (home / "secret.key").read_bytes()
        assert "2 databases" in done("backup", *where)

    shutil.rmtree(home)
    done("restore", *where)

    with database_of(home) as settings:
        with gateway_of(settings) as client:
            assert asked(client, f"/tasks/{queued}")["status"] == "QUEUED"
            assert asked(client, f"/tasks/{ended}")["status"] == "COMPLETED"
            assert asked(client, f"/tasks/{ended}/result")["result"]["energy_eV"] == -1.5
            assert client.get(f"/files/{file_id}").content == TRAJECTORY
        with psycopg.connect(postgres.url(home, _port(settings), "prefect")) as prefect:
            assert prefect.execute("SELECT name FROM flow_run").fetchall() == [("kept",)]
        assert settings.gateway.language == "zh"
        assert settings.admin_key_file.read_bytes() == key
        assert (home / "secret.key").read_bytes() == secret
        assert (home / "secret.key").stat().st_mode & 0o777 == 0o600


def _port(settings: Settings) -> int:
    return int(settings.database.url.get_secret_value().rsplit(":", 1)[1].partition("/")[0])


def test_backups_share_what_did_not_change_are_verified_and_only_the_newest_stay(folder: Path) -> None:
    home, backups = folder / "home", folder / "backups"
    where = ("--home", str(home), "--folder", str(backups))
    store = Store(backups)
    with database_of(home) as settings:
        upgrade(settings.database.url.get_secret_value())
        storage = settings.storage_root
        (storage / "large.bin").write_bytes(b"x" * 3_000_000)
        (storage / "gone.bin").write_bytes(b"y" * 1000)
        (storage / "link").symlink_to("/etc/hostname")
        done("backup", *where)
        (storage / "gone.bin").unlink()
        (storage / "new.bin").write_bytes(b"z" * 2000)
        done("backup", *where)

        first, second = store.snapshots()
        assert names(first) == {"large.bin", "gone.bin"}
        assert names(second) == {"large.bin", "new.bin"}
        assert first.new_bytes > 3_000_000 > second.new_bytes >= 2000

        assert done("backup", "verify", *where).count("verified") == 2
        done("backup", *where, "--keep", "2")
        assert next(snapshot.name for snapshot in store.snapshots()) == second.name
        assert not store.has(next(file.sha256 for file in first.files if file.path == "gone.bin"))

    # The server is down: it is started for the backup.
    done("backup", *where)

    damaged = store.object(next(file.sha256 for file in second.files if file.path == "large.bin"))
    damaged.write_bytes(b"x" * 2_999_999 + b"!")
    for command in (("backup", "verify"), ("restore",)):
        refused = mofsim(*command, "--home", str(folder / "other"), "--folder", str(backups))
        assert refused.exit_code == 1
        assert "large.bin is damaged" in refused.output
    assert not (folder / "other").exists()


def names(snapshot: Snapshot) -> set[str]:
    return {file.path for file in snapshot.files if file.root == "storage"}


def test_what_a_restore_would_overwrite_is_left_alone(folder: Path) -> None:
    home, backups = folder / "home", folder / "backups"
    with database_of(home) as settings:
        upgrade(settings.database.url.get_secret_value())
        done("backup", "--home", str(home), "--folder", str(backups))
        refused = mofsim("restore", "--home", str(home), "--folder", str(backups))
        assert "is not empty" in refused.output

        other = folder / "other"
        environment = {"MOFSIM_DATABASE__URL": settings.database.url.get_secret_value()}
        words = ["restore", "--home", str(other), "--folder", str(backups)]
        refused = CliRunner().invoke(app, words, env=environment)
        assert "has tables already" in refused.output
        assert list(other.iterdir()) == []
        accepted = CliRunner().invoke(app, [*words, "--replace"], env=environment)
        assert accepted.exit_code == 0, accepted.output


def test_a_backup_refuses_folders_where_it_would_be_lost_or_changed(folder: Path) -> None:
    home, backups = folder / "home", folder / "backups"
    inside = mofsim("backup", "--home", str(home), "--folder", str(home / "backups"))
    assert "would be lost with the home" in inside.output
    assert "No folder for backups" in mofsim("backup", "--home", str(home)).output
    assert "There is no database" in mofsim("backup", "--home", str(home), "--folder", str(backups)).output
    with Store(backups).writing():
        assert "Another backup" in mofsim("backup", "--home", str(home), "--folder", str(backups)).output
    (backups / "snapshots" / "20260101T000000.000000Z.json").write_text(
        json.dumps({"snapshot": "{}", "sha256": ""})
    )
    damaged = mofsim("restore", "--home", str(home), "--folder", str(backups))
    assert "is damaged: the checksum differs" in damaged.output
