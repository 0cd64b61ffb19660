"""Running a page: its blocks one after the other in one folder, as a reader who types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, Block

PRINTED_ADDRESS = "http://127.0.0.1:8000"
"""Address of the gateway in the pages; the tests' own has another port."""
SHELL = ("bash", "-euo", "pipefail", "-c")


class Reader:
    """Somebody with a checkout and an empty folder to work in.

    Python blocks share their names, shell blocks the variables they export.

    Parameters
    ----------
    folder
        The folder, which is the reader's home as well.
    home
        Home of a running service, which the reader finds as `~/.mofsim`; None: there is none yet.
    address
        Address of that service, in place of the one that pages print.
    """

    def __init__(self, folder: Path, home: Path | None, address: str) -> None:
        self.folder = folder
        self.address = address
        self.names: dict[str, Any] = {"__name__": "__page__"}
        programs = folder / ".programs"
        programs.mkdir()
        (programs / "python").symlink_to(sys.executable)
        (folder / "mofsim").symlink_to(ROOT / "mofsim")
        if home is not None:
            (folder / ".mofsim").symlink_to(home)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MOFSIM_")}
        self.environment = {
            **inherited,
            "HOME": str(folder),
            "PATH": f"{programs}:{os.environ['PATH']}",
            # The client in this process has looked for its home already.
            "MOFSIM_HOME": str(home or folder / ".mofsim"),
            "COLUMNS": "120",
        }

    def run(self, block: Block) -> None:
        text = block.text.replace(PRINTED_ADDRESS, self.address)
        if block.language == "python":
            # The blank lines make a traceback name the line of the page.
            code = compile("\n" * (block.line - 1) + text, str(block.page), "exec")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self.folder)
                for name, value in self.environment.items():
                    if name.startswith("MOFSIM_"):
                        patch.setenv(name, value)
                exec(code, self.names)  # noqa: S102 - the documentation's own code
        else:
            self._run_shell(block, text)

    def _run_shell(self, block: Block, text: str) -> None:
        kept = self.folder / ".environment"
        done = subprocess.run(
            [*SHELL, f"{text}\nenv --null > {kept}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        print(done.stdout, done.stderr, sep="\n")
        assert done.returncode == 0, f"{block.page}:{block.line}: exit code {done.returncode}\n{done.stderr}"
        self.environment = read_environment(kept)


def read_environment(file: Path) -> dict[str, str]:
    pairs = file.read_text().rstrip("\0").split("\0")
    return dict(pair.split("=", 1) for pair in pairs)
