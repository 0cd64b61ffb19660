"""A user's tasks through the whole stack: REST, placement, Prefect, Dask, the model, and back."""

from __future__ import annotations

import time
from pathlib import Path

import ase.io
import httpx
import pytest
from ase.build import bulk
from ase.io.trajectory import Trajectory
from mofsim_client import (
    APIError,
    InvalidFileError,
    MOFSimClient,
    TaskCancelledError,
    TaskInfo,
    TaskStatus,
    TaskTimeoutError,
    UnphysicalError,
    UnsupportedElementError,
    UnsupportedFormatError,
)
from mofsim_client.requests import SinglePoint

from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.structures import builtin
from mofsim_settings import load_settings
from tests.stack.running import Home
from tests.stack.waiting import PATIENCE_SECONDS, wait_for, wait_until_running

MODEL = "sevennet_prod"
pytestmark = pytest.mark.stack


def test_a_single_point_gives_the_numbers_of_a_direct_calculation(client: MOFSimClient, home: Home) -> None:
    atoms = builtin.build("Mg-MOF-74")
    result = client.submit_single_point("Mg-MOF-74", MODEL).wait(timeout=PATIENCE_SECONDS)

    atoms.calc = MeteredCalculator(load_potential(MODEL, models_dir=home.folder / "models"))
    assert result.energy_eV == pytest.approx(atoms.get_potential_energy(), abs=1e-3)
    assert result.converged


def test_an_optimization_shows_progress_and_logs_and_lowers_the_energy(
    client: MOFSimClient, tmp_path: Path
) -> None:
    seen: list[int] = []
    stages: set[str] = set()

    def watch(info: TaskInfo) -> None:
        progress = info.progress
        if progress is not None and progress.current_step is not None:
            seen.append(progress.current_step)
            stages.add(progress.stage)

    task = client.submit_optimization("MOF-5", MODEL, fmax=1e-9, max_steps=60)
    result = task.wait(timeout=PATIENCE_SECONDS, on_progress=watch)

    assert len(set(seen)) > 3
    assert seen == sorted(seen)
    assert stages == {"optimize"}
    assert not result.converged
    assert result.steps == 60
    assert result.final_energy_eV < result.initial_energy_eV
    assert any("optimiz" in line.message.lower() for line in task.logs())
    names = {path.name for path in result.save(tmp_path)}
    assert {"optimized.cif", "trajectory.traj", "convergence.png"} <= names
    assert result.optimized_atoms().get_volume() == pytest.approx(result.final_volume_A3, rel=1e-4)


def test_a_running_task_is_cancelled_within_five_seconds_and_its_host_stays_warm(
    client: MOFSimClient, home: Home
) -> None:
    task = client.submit_optimization("MOF-5", MODEL, fmax=1e-9, max_steps=2000)
    wait_until_running(task)
    hosts = [home.pid_of("host-0"), home.pid_of("host-1")]

    asked_at = time.monotonic()
    task.cancel()
    with pytest.raises(TaskCancelledError):
        task.wait(timeout=PATIENCE_SECONDS)

    assert time.monotonic() - asked_at < 5.0
    assert {"trajectory", "optimized_structure"} <= {file.role for file in task.files()}
    assert [home.pid_of("host-0"), home.pid_of("host-1")] == hosts
    gpu = next(gpu for gpu in client.list_gpus() if gpu["gpu_id"] == task.info.gpu_id)
    assert MODEL in gpu["warm_models"]
    wait_for(lambda: all(gpu["current"] is None for gpu in client.list_gpus()), "idle slots")


def test_a_run_cancelled_in_prefects_ui_cancels_its_task(client: MOFSimClient, home: Home) -> None:
    task = client.submit_optimization("MOF-5", MODEL, fmax=1e-9, max_steps=2000)
    wait_until_running(task)
    settings = load_settings(home.folder)
    name = {"name": {"any_": [f"{task.id}:{task.info.attempt}"]}}
    with httpx.Client(base_url=settings.prefect.api_url, timeout=60) as prefect:
        (run,) = prefect.post("/flow_runs/filter", json={"flow_runs": name}).json()
        state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        prefect.post(f"/flow_runs/{run['id']}/set_state", json=state).raise_for_status()

    with pytest.raises(TaskCancelledError):
        task.wait(timeout=PATIENCE_SECONDS)


def test_a_task_whose_time_is_up_ends_timeout_and_its_files_stay(
    client: MOFSimClient, tmp_path: Path
) -> None:
    task = client.submit_optimization("MOF-5", MODEL, fmax=1e-9, max_steps=5000, timeout=10)

    with pytest.raises(TaskTimeoutError) as ended:
        task.wait(timeout=PATIENCE_SECONDS)

    assert ended.value.code == 50002
    assert task.refresh().status is TaskStatus.TIMEOUT
    wait_for(lambda: "trajectory" in {file.role for file in task.files()}, "the trajectory up to then")
    task.download_files(tmp_path)
    with Trajectory(tmp_path / "trajectory.traj") as trajectory:
        assert len(trajectory) >= 1
    wait_for(lambda: all(gpu["current"] is None for gpu in client.list_gpus()), "idle slots")


def test_dynamics_that_explode_fail_with_their_code_and_what_they_wrote_can_be_had(
    client: MOFSimClient, tmp_path: Path
) -> None:
    # Hardly relaxed, it heats itself far beyond the temperature asked for.
    strained = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    strained.rattle(0.3, seed=3)
    task = client.submit_stability(
        strained, MODEL, opt={"max_steps": 1}, nvt={"steps": 200, "temperature_K": 1.0}
    )

    with pytest.raises(UnphysicalError) as ended:
        task.wait(timeout=PATIENCE_SECONDS)

    assert ended.value.code == 50008
    paths = {path.relative_to(tmp_path).as_posix() for path in task.download_files(tmp_path)}
    assert {"opt/optimized.cif", "opt/trajectory.traj", "nvt.traj"} <= paths
    assert len(ase.io.read(tmp_path / "opt" / "optimized.cif")) == len(strained)


CELL = """data_x
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
"""
SITES = """loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
BAD_FILES = {
    "not-a-structure.cif": ("<html><body>hello</body></html>", UnsupportedFormatError, 40001),
    "report.pdf": ("%PDF-1.7 …", UnsupportedFormatError, 40001),
    "empty.cif": ("", InvalidFileError, 40005),
    "no-atoms.cif": (CELL.format(a=10), InvalidFileError, 40005),
    "partly-occupied.cif": (
        CELL.format(a=10) + SITES + "Zn1 Zn 0 0 0 1\nO1 O 0.2 0 0 0.5\n",
        InvalidFileError,
        40005,
    ),
    "overlapping.cif": (
        CELL.format(a=10) + SITES + "Zn1 Zn 0 0 0 1\nO1 O 0.0001 0 0 1\n",
        InvalidFileError,
        40005,
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_code_and_nothing_is_kept(
    client: MOFSimClient, home: Home, tmp_path: Path, name: str
) -> None:
    content, error, code = BAD_FILES[name]
    (tmp_path / name).write_text(content)
    before = stored_files(home)

    with pytest.raises(error) as refusal:
        client.upload_structure(tmp_path / name)

    assert refusal.value.code == code
    assert stored_files(home) == before


def test_an_element_the_model_does_not_know_is_named_and_makes_no_task(
    client: MOFSimClient, tmp_path: Path
) -> None:
    file = tmp_path / "og.xyz"
    file.write_text('1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3 pbc="T T T"\nOg 0 0 0\n')
    before = {task.id for task in client.list_tasks()}

    with pytest.raises(UnsupportedElementError, match="Og"):
        client.submit_single_point(file, MODEL)

    assert {task.id for task in client.list_tasks()} == before


def test_a_wrong_key_is_refused(home: Home) -> None:
    with (
        MOFSimClient(base_url=home.client().connection.base_url, api_key="wrong") as stranger,
        pytest.raises(APIError) as refusal,
    ):
        next(iter(stranger.list_tasks()))
    assert refusal.value.code == 20002


def test_the_parts_of_a_batch_all_complete(client: MOFSimClient) -> None:
    tasks = client.submit_batch([SinglePoint("Mg-MOF-74", MODEL) for _ in range(6)])
    client.wait_all(tasks, timeout=PATIENCE_SECONDS)
    assert [task.refresh().status for task in tasks] == [TaskStatus.COMPLETED] * 6
    assert {task.info.gpu_id for task in tasks} == {0, 1}


def stored_files(home: Home) -> set[Path]:
    return {path for path in (home.folder / "storage").rglob("*") if path.is_file()}
