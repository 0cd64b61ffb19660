"""Starting and stopping: second starts, taken ports, bad homes, crashes; never a process too many."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat

import pytest
from mofsim_client import MOFSimClient, TaskStatus

from deployments.stack import supervision
from tests.stack.running import Home, new_home
from tests.stack.waiting import PATIENCE_SECONDS, wait_for, wait_until_running

pytestmark = pytest.mark.stack


def test_a_second_start_on_the_same_home_is_refused_and_names_the_running_one(home: Home) -> None:
    before = supervision.running_pid(home.folder)

    done = home.mofsim("up", "--detach", "--port", "0")

    assert done.returncode == 1
    assert str(before) in done.stderr
    assert str(home.folder) in done.stderr
    assert supervision.running_pid(home.folder) == before


def test_a_taken_port_is_refused_and_leaves_nothing(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, new_home() as other:
        port = taken.getsockname()[1]

        done = other.mofsim("up", "--detach", "--port", str(port))

        assert done.returncode == 1
        assert f"Port {port}" in done.stderr
        assert f"process {os.getpid()}" in done.stderr
        assert list(other.folder.iterdir()) == []
        assert other.processes() == []


def test_a_home_that_cannot_be_written_is_refused_and_leaves_nothing(home: Home) -> None:
    with new_home() as other:
        # A file in the way stops every user, root included.
        (other.folder / "file").write_text("")
        inside = Home(other.folder / "file" / "home")

        done = inside.mofsim("up", "--detach", "--port", "0")

        assert done.returncode == 1
        assert "cannot be written" in done.stderr
        assert [path.name for path in other.folder.iterdir()] == ["file"]


def test_secrets_are_for_their_owner_only(home: Home) -> None:
    for file in ("admin.key", "postgres.password", "run/stack.json", "run/supervisord.conf"):
        assert stat.S_IMODE((home.folder / file).stat().st_mode) == 0o600, file
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_status_shows_every_part_with_its_process_and_every_slot(home: Home) -> None:
    done = home.mofsim("status")

    assert done.returncode == 0, done.stderr
    for part in ("postgres", "prefect", "scheduler", "host-0", "host-1", "worker", "gateway"):
        line = next(line for line in done.stdout.splitlines() if part in line)
        assert str(home.pid_of(part)) in line
        assert "RUNNING" in line
    assert json.loads((home.folder / "run" / "stack.json").read_text())["prefect"]["ui_url"] in done.stdout


def test_logs_of_one_part_are_printed(home: Home) -> None:
    done = home.mofsim("logs", "postgres", "-n", "1000")
    assert "database system is ready to accept connections" in done.stdout
    assert home.mofsim("logs", "nonsense").returncode == 1


def test_a_second_stack_runs_beside_the_first_and_continues_after_a_crash(
    home: Home, client: MOFSimClient
) -> None:
    with new_home(MOFSIM_SCHEDULING__SHUTDOWN_WAIT_SECONDS="1") as other:
        other.start()
        with other.client() as there:
            task = there.submit_optimization("Mg-MOF-74", "sevennet_prod", fmax=1e-7, max_steps=80)
            wait_until_running(task)
            assert task.id not in {mine.id for mine in client.list_tasks()}

        # The machine loses power, nearly: supervisor and keeper at once, the parts a little later.
        keeper = other.pid_of("keeper")
        supervisor = supervision.running_pid(other.folder)
        assert supervisor is not None
        os.kill(keeper, signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: supervision.running_pid(other.folder) is None, "no supervisor")

        other.start()
        with other.client() as there:
            assert there.get_task(task.id).wait(timeout=PATIENCE_SECONDS).steps == 80

            unfinished = there.submit_optimization("Mg-MOF-74", "sevennet_prod", fmax=1e-7, max_steps=5000)
            wait_until_running(unfinished)
        done = other.mofsim("down")
        assert done.returncode == 0, done.stderr
        assert other.processes() == []
        assert not (other.folder / "run" / "stack.json").exists()
        assert other.mofsim("status").returncode == 1

    assert client.get_health()["status"] == "ok"
    assert unfinished.status is TaskStatus.RUNNING
