"""The examples run as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from mofsim_client import MOFSimClient
from nbclient import NotebookClient

from deployments.stack.ports import free_ports, is_free
from tests.docs.pages import ROOT
from tests.stack.running import Home
from tests.stack.waiting import wait_for

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def test_every_example_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`{path.name}`" in listed for path in [*NOTEBOOKS, *EXAMPLES.glob("*.py")])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.stack
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_its_first_cell_to_its_last(
    path: Path, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOFSIM_HOME", str(home.folder))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, startup_timeout=300, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3


@contextmanager
def running(script: str, *words: str, output: Path) -> Iterator[None]:
    with output.open("w") as file:
        process = subprocess.Popen([sys.executable, str(EXAMPLES / script), *words], stdout=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.stack
def test_the_receiver_is_told_of_a_task_s_end(client: MOFSimClient, tmp_path: Path) -> None:
    output = tmp_path / "printed"
    (port,) = free_ports(1)
    words = ("--port", str(port), "--secret", "the secret of this test")
    with running("webhook_receiver.py", *words, output=output):
        wait_for(lambda: not is_free("127.0.0.1", port), "the receiver listening")
        task = client.submit_single_point(
            "SOD",
            "sevennet_prod",
            notify_url=f"http://127.0.0.1:{port}/mofsim",
            notify_events=["task.completed"],
            notify_secret="the secret of this test",
        )
        wait_for(lambda: f"task.completed {task.id}" in output.read_text(), "the webhook")
