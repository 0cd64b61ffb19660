"""What a confined process cannot do, tried by one that wants to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, pathlib, socket, subprocess, sys
from mof_benchmark.calculators.custom.confinement import Limits, confine

folder, secret, port = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
before = os.getpid()
held = confine(Limits(memory_bytes=512 * 1024**2, file_bytes=1024**2), readable=[], writable=folder)
outcome = {}

def attempt(name, deed):
    try:
        deed()
    except (OSError, MemoryError) as error:
        outcome[name] = type(error).__name__
    else:
        outcome[name] = "done"

attempt("write in its folder", lambda: (folder / "mine").write_text("x"))
attempt("read a secret", lambda: secret.read_text())
attempt("write elsewhere", lambda: (secret.parent / "was-here").write_text("x"))
attempt("run a program", lambda: subprocess.run(["/bin/true"], check=True))
attempt("reach the gateway", lambda: socket.create_connection(("127.0.0.1", port), timeout=5))
attempt("take all memory", lambda: bytearray(1024**3))
attempt("write a large file", lambda: (folder / "large").write_bytes(bytes(2 * 1024**2)))
attempt("signal its parent", lambda: os.kill(before, 0))
attempt("gain privileges", lambda: os.setuid(0) or os.chroot("/"))
(folder / "outcome.json").write_text(json.dumps({"held": held, "outcome": outcome}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What became of each attempt, and which limits held."""
    import socket

    home = tmp_path_factory.mktemp("home")
    (home / "admin.key").write_text("secret")
    work = tmp_path_factory.mktemp("work")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(work), str(home / "admin.key"), str(port)],
            check=True,
            cwd=Path(__file__).resolve().parents[4],
        )
    assert not (home / "was-here").exists() or "missing" in (work / "outcome.json").read_text()
    answer: dict[str, dict[str, str]] = json.loads((work / "outcome.json").read_text())
    return answer


def test_it_may_work_in_its_own_folder(told: dict[str, dict[str, str]]) -> None:
    assert told["outcome"]["write in its folder"] == "done"


@pytest.mark.parametrize("deed", ["take all memory", "write a large file"])
def test_limits_hold_everywhere(told: dict[str, dict[str, str]], deed: str) -> None:
    assert told["held"]["no_new_privileges"] == "yes"
    assert told["outcome"][deed] in ("MemoryError", "OSError")


@pytest.mark.parametrize("deed", ["read a secret", "write elsewhere", "run a program"])
def test_files_are_fenced_in_where_the_kernel_has_landlock(
    told: dict[str, dict[str, str]], deed: str
) -> None:
    if told["held"]["landlock"] == "missing":
        pytest.skip("this kernel has no Landlock")
    assert told["outcome"][deed] == "PermissionError"


@pytest.mark.parametrize("deed", ["reach the gateway", "signal its parent", "gain privileges"])
def test_the_rest_of_the_machine_is_away_where_namespaces_are_allowed(
    told: dict[str, dict[str, str]], deed: str
) -> None:
    if told["held"]["network_namespace"].startswith("missing"):
        pytest.skip("this system allows no namespaces of one's own")
    assert told["outcome"][deed] != "done"
