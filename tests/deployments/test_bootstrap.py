"""`./mofsim` on a fresh checkout: the set-up, its repair and its hand-over, on a small project.

The script is the real one; the project around it has one small package to install, so that a
set-up takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ANNOUNCE = """
import json, sys
import greeting
print(json.dumps({"arguments": sys.argv[1:], "module": __spec__.parent, "greeting": greeting.TEXT}))
"""


class Checkout:
    """A fresh checkout with the real script and a lock of one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "requirements").mkdir(parents=True)
        (folder / "wheels").mkdir()
        shutil.copy(ROOT / "mofsim", folder)
        for package in ("deployments/cli", "sdk/mofsim_client/cli"):
            (folder / package).mkdir(parents=True)
            (folder / package / "__init__.py").write_text("")
            (folder / package / "__main__.py").write_text(ANNOUNCE)
        self.lock("hello")

    def lock(self, text: str, digest: str | None = None) -> None:
        """Make the package say `text` in a new version, and lock that."""
        version = f"1.{sum(1 for _ in (self.folder / 'wheels').iterdir())}"
        wheel = self.folder / "wheels" / f"greeting-{version}-py3-none-any.whl"
        info = f"greeting-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("greeting.py", f"TEXT = {text!r}\n")
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n"
            )
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(
                f"{info}/RECORD", f"greeting.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
            )
        found = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.folder / "requirements" / "cpu.txt").write_text(
            f"greeting=={version} \\\n    --hash=sha256:{found}\n"
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MOFSIM_"))
        }
        return subprocess.Popen(
            [sys.executable, str(self.folder / "mofsim"), *words],
            env={
                **inherited,
                "MOFSIM_SET": "cpu",
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(self.folder / "wheels"),
                "PIP_CONFIG_FILE": os.devnull,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        output, errors = process.communicate(timeout=300)
        return process.returncode, output, errors


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose set-up two commands raced for."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    racing = [checkout.start("status", "--home", "x y"), checkout.start("task", "list")]
    answers = [process.communicate(timeout=300) for process in racing]
    assert [process.returncode for process in racing] == [0, 0], answers
    said = "".join(errors for _, errors in answers)
    assert said.count("making .venv") == 1
    assert '["status", "--home", "x y"], "module": "deployments.cli"' in answers[0][0]
    assert '["task", "list"], "module": "mofsim_client.cli"' in answers[1][0]
    return checkout


def test_a_set_up_checkout_hands_over_at_once(checkout: Checkout) -> None:
    started_at = time.perf_counter()
    code, output, errors = checkout.run("up")
    whole = time.perf_counter() - started_at

    started_at = time.perf_counter()
    python = checkout.folder / ".venv" / "bin" / "python"
    subprocess.run([python, "-P", "-m", "deployments.cli", "up"], check=True, capture_output=True)
    alone = time.perf_counter() - started_at

    assert (code, errors) == (0, "")
    assert '"greeting": "hello"' in output
    # 0.3 s on an idle machine; the test suite's own load may triple it.
    assert whole - alone < 0.9


def test_an_aborted_set_up_is_repaired_by_running_again(checkout: Checkout) -> None:
    # As a stopped installer leaves it: the package looks installed, its module is not there.
    (checkout.folder / ".venv" / "mofsim.json").unlink()
    for module in (checkout.folder / ".venv").glob("lib/python*/site-packages/greeting.py"):
        module.unlink()

    code, output, errors = checkout.run("up")

    assert code == 0, errors
    assert '"greeting": "hello"' in output


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.lock("good day")

    code, output, errors = checkout.run("up")

    assert code == 0, errors
    assert '"greeting": "good day"' in output
    assert "making .venv" not in errors


def test_a_package_with_another_hash_is_refused_and_the_next_run_repairs(checkout: Checkout) -> None:
    checkout.lock("evil", digest="0" * 64)
    code, output, errors = checkout.run("up")
    assert code == 1
    assert output == ""
    assert "hash" in errors.lower()
    assert "Run the command again" in errors

    checkout.lock("good evening")
    code, output, errors = checkout.run("up")
    assert code == 0, errors
    assert '"greeting": "good evening"' in output


def test_another_python_is_refused_with_a_clear_sentence(tmp_path: Path) -> None:
    others = [
        path
        for name in ("python3.12", "python3.13", "python3.10", "python3.9")
        if (path := shutil.which(name))
    ]
    works = [path for path in others if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0]
    if not works:
        pytest.skip("no Python but 3.11 is installed here")
    checkout = Checkout(tmp_path)
    done = subprocess.run(
        [works[0], str(checkout.folder / "mofsim"), "up"],
        env={"PATH": "/nowhere", "MOFSIM_SET": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
