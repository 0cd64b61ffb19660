"""The client and its command line against the whole stack: real model, real execution."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mofsim_client import AsyncMOFSimClient, MOFSimClient, SinglePointResult

from tests.stack.running import Home

pytestmark = pytest.mark.stack
ROOT = Path(__file__).resolve().parents[2]
MODEL = "sevennet_prod"


def test_the_quick_start_of_the_readme_runs_as_written(home: Home, tmp_path: Path) -> None:
    readme = (ROOT / "sdk" / "README.md").read_text()
    block = next(iter(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)))
    # A small framework and a coarse criterion: seconds instead of minutes, every line else as printed.
    block = block.replace('"MOF-5"', '"SOD"').replace("fmax=0.05", "fmax=0.5")
    done = subprocess.run(
        [sys.executable, "-c", block],
        env={"MOFSIM_HOME": str(home.folder), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "COMPLETED" in done.stdout
    assert {"result.json"} < {path.name for path in (tmp_path / "mof-5").iterdir()}


def test_a_result_is_typed_and_its_logs_are_streamed(client: MOFSimClient) -> None:
    task = client.submit_single_point("SOD", MODEL)
    messages = [line.message for line in task.stream_logs()]
    result = task.wait(timeout=120)
    assert isinstance(result, SinglePointResult)
    assert messages
    forces = np.array(result.forces_eV_A)
    assert forces.shape == (result.n_atoms, 3)
    assert np.linalg.norm(forces, axis=1).max() == pytest.approx(result.max_force_eV_A)


def test_the_asynchronous_client_computes_the_same(home: Home, client: MOFSimClient) -> None:
    async def energy() -> float:
        async with AsyncMOFSimClient(home=home.folder) as other:
            return (await (await other.submit_single_point("SOD", MODEL))).energy_eV

    assert asyncio.run(energy()) == pytest.approx(
        client.submit_single_point("SOD", MODEL).wait(120).energy_eV, abs=1e-4
    )


def test_a_screening_from_standard_input_gives_one_result_a_line(home: Home) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mofsim_client.cli", "--home", str(home.folder), "-o", "json"),
            *("submit", "single-point-energy", "-", "-m", MODEL, "--watch"),
        ],
        input="SOD\nLTA\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["structure_name"] for row in rows] == ["SOD", "LTA"]
    assert all(row["energy_eV"] < 0 for row in rows)
    assert "2/2" in done.stderr
