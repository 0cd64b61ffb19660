"""A stack for tests: started by its command line, as a user does, in a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from mofsim_client import MOFSimClient

from deployments.stack import leftovers, lifecycle, supervision
from deployments.stack.lifecycle import Stack


@dataclass(frozen=True)
class Home:
    """A home folder with the commands that work on it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def mofsim(self, command: str, *words: str, timeout: float = 400) -> subprocess.CompletedProcess[str]:
        """Run one command of `./mofsim` on this home."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MOFSIM_")}
        return subprocess.run(
            [sys.executable, "-m", "deployments.cli", command, "--home", str(self.folder), *words],
            env={**inherited, **self.environment, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *words: str) -> Stack:
        done = self.mofsim("up", "--detach", "--port", "0", *words)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.logs()}"
        stack = lifecycle.find(self.folder)
        assert stack is not None
        return stack

    def processes(self) -> list[psutil.Process]:
        return leftovers.find(self.folder)

    def pid_of(self, part: str) -> int:
        """Process id of a part, as Supervisor knows it; 0 while it does not run."""
        for process in supervision.states(self.folder):
            if process.name == part and process.state == "RUNNING":
                return process.pid
        return 0

    def up_for(self, part: str) -> float:
        """Seconds since a part was started; 0 while it does not run."""
        return next((one.uptime_seconds for one in supervision.states(self.folder) if one.name == part), 0.0)

    def client(self) -> MOFSimClient:
        # Patient enough for a gateway that is started again on a busy machine.
        return MOFSimClient(home=self.folder, max_retries=20)

    def logs(self) -> str:
        """The last lines of every part, for a failed test's report."""
        return self.mofsim("logs", "-n", "25").stdout if (self.folder / "logs").is_dir() else ""


@contextmanager
def new_home(**environment: str) -> Iterator[Home]:
    """A folder for a stack; whatever runs in it afterwards is ended, and the folder removed."""
    # Not pytest's tmp_path, whose names come near the limit of a socket's path.
    home = Home(Path(tempfile.mkdtemp(prefix="mofsim-test-")), environment)
    try:
        yield home
    finally:
        leftovers.stop(home.folder)
        shutil.rmtree(home.folder, ignore_errors=True)
