"""The command line against a real gateway, as a script sees it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ase.build
import pytest
import yaml
from mofsim_client import MOFSimClient
from mofsim_client.cli import app
from mofsim_client.cli._context import hoist
from mofsim_client.cli._exit_codes import EPILOG, ExitCode
from typer.testing import CliRunner, Result

from tests.mof_benchmark.calculators.custom.hostile import good
from tests.sdk.conftest import Gateway, wait_until
from tests.sdk.execution_by_hand import Hands, optimization, single_point
from tests.sdk.test_gateway import SCHNET

MODEL = "sevennet_prod"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def mofsim(gateway: Gateway) -> Any:
    """Run a command on the gateway's home."""

    def run(*words: str, stdin: str = "", code: int = 0) -> Result:
        result = CliRunner().invoke(app, [*words, "--home", str(gateway.home)], input=stdin)
        assert result.exit_code == code, result.output
        return result

    return run


def submitted(mofsim: Any, *words: str) -> str:
    rows = json.loads(mofsim("submit", *words, "--model", MODEL, "-o", "json").stdout)
    return str(rows[0]["task_id"])


def test_a_submission_is_shown_listed_and_cancelled(mofsim: Any) -> None:
    task_id = submitted(
        mofsim, "optimization", "MOF-5", "-p", "fmax=0.05", "-p", "optimizer=FIRE", "--tag", "cli"
    )
    shown = json.loads(mofsim("task", "show", task_id, "--output", "json").stdout)
    assert shown["parameters"]["fmax"] == 0.05
    assert shown["parameters"]["optimizer"] == "FIRE"
    assert task_id in mofsim("task", "list", "--tag", "cli").stdout
    (row,) = csv.DictReader(io.StringIO(mofsim("task", "list", "--tag", "cli", "-o", "csv").stdout))
    assert (row["task_id"], row["status"], row["structure_name"]) == (task_id, "QUEUED", "MOF-5")
    assert yaml.safe_load(mofsim("task", "cancel", task_id, "-o", "yaml").stdout)[0]["status"] == "CANCELLED"
    again = json.loads(mofsim("task", "retry", task_id, "-o", "json").stdout)[0]["task_id"]
    assert again != task_id
    mofsim("task", "cancel", again)


def test_a_list_from_standard_input_becomes_one_batch(mofsim: Any, tmp_path: Path) -> None:
    cif = tmp_path / "mgo.cif"
    ase.build.bulk("MgO", "rocksalt", a=4.2).write(cif)
    # The content is known to the server by another name: the tasks still show the file's own.
    mofsim("structures", "upload", str(shutil.copy(cif, tmp_path / "another.cif")))
    names = f"# screening\nMOF-5\n\n{cif}\n"
    rows = json.loads(
        mofsim("submit", "single-point-energy", "-", "-m", MODEL, "-o", "json", stdin=names).stdout
    )
    assert len({row["batch_id"] for row in rows}) == 1
    batch = rows[0]["batch_id"]
    listed = json.loads(mofsim("task", "list", "--batch", batch, "-o", "json").stdout)
    assert [row["structure_name"] for row in listed] == ["mgo", "MOF-5"]


def test_a_result_is_waited_for_shown_and_saved(mofsim: Any, hands: Hands, tmp_path: Path) -> None:
    task_id = submitted(mofsim, "optimization", "MOF-5")
    hands.start(task_id)
    hands.report(task_id, 1, "first step", "second step")
    hands.complete(task_id, optimization())
    waited = mofsim("task", "wait", task_id)
    assert "final_energy_eV" in waited.stdout
    assert f"{task_id} COMPLETED" in waited.stderr
    result = mofsim("task", "result", task_id, "--save", str(tmp_path), "-o", "json")
    assert json.loads(result.stdout)["final_energy_eV"] == -100.5
    assert (tmp_path / "optimized.cif").exists()
    assert "second step" in mofsim("task", "logs", task_id).stdout
    followed = mofsim("task", "logs", task_id, "--follow", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["message"] for line in followed] == ["first step", "second step"]


def test_the_files_of_a_cancelled_task_are_listed_and_downloaded(
    mofsim: Any, hands: Hands, tmp_path: Path
) -> None:
    task_id = submitted(mofsim, "stability", "MOF-5")
    hands.start(task_id)
    hands.leave(task_id)
    hands.sql.run("UPDATE tasks SET status = 'CANCELLED' WHERE id = %s", task_id)
    listed = mofsim("task", "files", task_id, "--download", str(tmp_path), "-o", "json")
    paths = [file["path"] for file in json.loads(listed.stdout)]
    assert paths == ["opt/trajectory.extxyz", "nvt.traj"]
    assert all((tmp_path / path).is_file() for path in paths)
    assert "nvt_trajectory" in mofsim("task", "files", task_id).stdout


def test_many_results_are_waited_for_together(mofsim: Any, hands: Hands) -> None:
    tasks = [submitted(mofsim, "single-point-energy", "MOF-5") for _ in range(2)]
    for task_id in tasks:
        hands.start(task_id)
    hands.complete(tasks[0], single_point())
    hands.fail(tasks[1], code=50007, type="OutOfMemoryError", detail="24 GB are not enough", stage="evaluate")
    waited = mofsim("task", "wait", "-", "-o", "json", stdin="\n".join(tasks), code=ExitCode.TASK_ENDED)
    rows = json.loads(waited.stdout)
    assert rows[0]["energy_eV"] == -100.5
    assert "24 GB are not enough" in rows[1]["detail"]
    assert "2/2" in waited.stderr


def test_inventory_is_shown(mofsim: Any, tmp_path: Path) -> None:
    cif = tmp_path / "mgo.cif"
    ase.build.bulk("MgO", "rocksalt", a=4.2).write(cif)
    (uploaded,) = json.loads(mofsim("structures", "upload", str(cif), "-o", "json").stdout)
    assert uploaded["formula"] == "MgO"
    assert uploaded["file_id"] in mofsim("structures", "list").stdout
    assert "MgO" in mofsim("structures", "show", uploaded["file_id"]).stdout
    assert "106" in mofsim("structures", "show", "MOF-5").stdout
    assert "MOF-5" in mofsim("structures", "builtin").stdout
    assert MODEL in mofsim("models", "list").stdout
    assert "sevennet" in mofsim("models", "show", MODEL).stdout
    assert "counts" in mofsim("system", "queue").stdout
    assert "database" in mofsim("system", "status").stdout
    mofsim("system", "gpus")


def test_every_kind_of_failure_has_its_exit_code(mofsim: Any, hands: Hands, tmp_path: Path) -> None:
    mofsim("task", "show", "task_00000000000000000000000000", code=ExitCode.NOT_FOUND)
    mofsim("submit", "optimization", "absent.cif", "-m", MODEL, code=ExitCode.USAGE)
    mofsim("submit", "optimization", "MOF-5", "-m", MODEL, "-p", "fmax=-1", code=ExitCode.REFUSED)
    mofsim("submit", "optimization", "-", "-m", MODEL, stdin="# nothing\n", code=ExitCode.USAGE)
    unknown = mofsim("submit", "optimization", "MOF-5", "-m", MODEL, "-p", "fmaxx=1", code=ExitCode.USAGE)
    assert "did you mean 'fmax'?" in unknown.output
    task_id = submitted(mofsim, "single-point-energy", "MOF-5")
    mofsim("task", "result", task_id, code=ExitCode.REFUSED)
    mofsim("task", "wait", task_id, "--timeout", "0.1", code=ExitCode.WAIT_TIMEOUT)
    hands.start(task_id)
    hands.fail(task_id, code=50001, type="CalculationFailedError", detail="broken", stage="evaluate")
    failed = mofsim("task", "wait", task_id, code=ExitCode.TASK_ENDED)
    assert "broken" in failed.stderr
    assert failed.stdout == ""
    mofsim("models", "list", "--url", "http://127.0.0.1:9", code=ExitCode.NO_SERVER)


def test_a_stranger_is_told_that_the_key_is_missing(gateway: Gateway, tmp_path: Path) -> None:
    words = ["models", "list", "--url", gateway.url, "--home", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == ExitCode.KEY


def test_it_runs_as_a_module(gateway: Gateway) -> None:
    command = [sys.executable, "-m", "mofsim_client.cli", "models", "list", "-o", "json"]
    done = subprocess.run(
        [*command, "--home", str(gateway.home)], capture_output=True, text=True, timeout=60, check=True
    )
    assert MODEL in {model["name"] for model in json.loads(done.stdout)}


def test_global_options_may_stand_anywhere() -> None:
    assert hoist(["task", "list", "--output", "json", "--limit", "3"]) == [
        "--output",
        "json",
        "task",
        "list",
        "--limit",
        "3",
    ]
    assert hoist(["models", "list", "--home=here"]) == ["--home=here", "models", "list"]
    assert hoist(["task", "show", "--", "--home"]) == ["task", "show", "--", "--home"]
    assert hoist(["task", "list", "--output"]) == ["--output", "task", "list"]


def test_the_help_names_every_exit_code() -> None:
    assert all(f" {code.value} " in f" {EPILOG} " for code in ExitCode)


def test_watching_shows_progress_and_saves_the_result(
    gateway: Gateway, hands: Hands, client: MOFSimClient, tmp_path: Path
) -> None:
    words = ["submit", "optimization", "MOF-5", "-m", MODEL, "--tag", "watched"]
    words += ["--watch", "--save", str(tmp_path), "--home", str(gateway.home)]
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(in_a_terminal, words)
        (task,) = wait_until(lambda: list(client.list_tasks(tag="watched")))
        hands.start(task.id)
        hands.report(task.id, 4)
        time.sleep(2)  # The screen shows what it last asked for, once a second.
        hands.complete(task.id, optimization())
        screen = watching.result()
    assert "RUNNING optimize step 4/10" in screen
    assert "COMPLETED" in screen
    assert "-100.5" in screen
    assert (tmp_path / "optimized.cif").exists()


def in_a_terminal(words: list[str]) -> str:
    """Run a command on a pseudo-terminal of 200 columns and return everything it showed."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, 200))
    command = [sys.executable, "-m", "mofsim_client.cli", *words]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        shown = bytearray()
        with contextlib.suppress(OSError):  # Linux says EIO when the other side has closed.
            while data := os.read(master, 65536):
                shown += data
    os.close(master)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_alerts_storage_and_settings_are_shown(mofsim: Any) -> None:
    rules = list(csv.DictReader(io.StringIO(mofsim("alerts", "rules", "-o", "csv").stdout)))
    assert "gpu_lost" in {rule["type"] for rule in rules}
    active = json.loads(mofsim("alerts", "active", "-o", "json").stdout)
    assert not any(alert["resolved"] for alert in active)
    assert isinstance(
        json.loads(mofsim("alerts", "history", "--level", "critical", "-o", "json").stdout), list
    )
    assert "disk_free_bytes" in mofsim("system", "storage").stdout
    assert yaml.safe_load(mofsim("system", "due", "-o", "yaml").stdout)["tasks"] == []
    assert json.loads(mofsim("system", "config", "-o", "json").stdout)["gateway"]["host"] == "127.0.0.1"
    health = mofsim("system", "health", "-o", "json", code=ExitCode.SERVER)
    assert json.loads(health.stdout)["components"]["database"]["state"] == "ok"


def test_a_structure_is_previewed_and_deleted(mofsim: Any, tmp_path: Path) -> None:
    cif = tmp_path / "kcl.cif"
    ase.build.bulk("KCl", "rocksalt", a=6.29).write(cif)
    assert "ClK" in mofsim("structures", "preview", str(cif)).stdout
    (uploaded,) = json.loads(mofsim("structures", "upload", str(cif), "-o", "json").stdout)
    mofsim("structures", "delete", "-", stdin=uploaded["file_id"])
    mofsim("structures", "show", uploaded["file_id"], code=ExitCode.NOT_FOUND)


def test_a_model_of_ones_own_is_uploaded_shown_and_deleted(mofsim: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.pt"
    file.write_bytes(good())
    words = ["models", "upload", str(file), "--name", "cli-schnet", "--framework", "pytorch", "--no-d3"]
    uploaded = json.loads(mofsim(*words, "--config", json.dumps(SCHNET), "-o", "json").stdout)
    assert (uploaded["status"], uploaded["with_d3"]) == ("uploaded", False)
    assert uploaded["model_id"] in mofsim("models", "custom").stdout
    assert "schnet" in mofsim("models", "show", uploaded["model_id"]).stdout
    mofsim(*words, "--config", "[1", code=ExitCode.USAGE)
    mofsim("models", "delete", uploaded["model_id"])
    mofsim("models", "show", uploaded["model_id"], code=ExitCode.NOT_FOUND)


def test_a_task_is_deleted_with_its_batch_shown_before(mofsim: Any) -> None:
    names = json.loads(
        mofsim("submit", "single-point-energy", "MOF-5", "MOF-5", "-m", MODEL, "-o", "json").stdout
    )
    mofsim("task", "cancel", names[0]["task_id"])
    shown = json.loads(mofsim("task", "batch", names[0]["batch_id"], "-o", "json").stdout)
    assert (shown["counts"]["CANCELLED"], shown["counts"]["QUEUED"]) == (1, 1)
    assert json.loads(mofsim("task", "webhooks", names[0]["task_id"], "-o", "json").stdout) == []
    mofsim("task", "delete", names[0]["task_id"])
    mofsim("task", "show", names[0]["task_id"], code=ExitCode.NOT_FOUND)


def test_keys_says_where_they_are_made(mofsim: Any) -> None:
    assert "./mofsim keys create" in mofsim("keys", "create", "me", code=ExitCode.USAGE).stderr


def test_a_watched_list_is_shown_again_and_again(gateway: Gateway) -> None:
    command = [sys.executable, "-m", "mofsim_client.cli", "system", "queue", "--watch", "-o", "json"]
    with subprocess.Popen(
        [*command, "--home", str(gateway.home)], stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen += line == "{\n"
            if seen == 2:
                break
        process.terminate()
    assert seen == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mofsim ", {"submit", "top", "alerts", "up", "keys"}),
        ("mofsim models ", {"list", "load", "install", "validate"}),
        ("mofsim submit optimization MOF-5 --req", {"--require-convergence"}),
    ],
)
def test_the_root_script_completes_the_commands_of_users_and_operators(line: str, expected: set[str]) -> None:
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, str(ROOT / "mofsim")],
        env={
            **os.environ,
            "_MOFSIM_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert expected <= set(done.stdout.split())


def test_completion_is_installed_for_the_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mofsim_client.cli", "--install-completion", "bash"],
        env={
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert "_MOFSIM_COMPLETE=complete_bash $1" in script.read_text()
