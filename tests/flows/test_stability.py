"""Dynamics that lose their place and go on in another attempt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from ase.io.trajectory import Trajectory

from mof_benchmark.schemas import CalculationRequest, TaskType
from tests.fixtures.execution import Execution, wait_until

PARAMETERS: dict[str, Any] = {
    "opt": {"max_steps": 1},
    "nvt": {"steps": 10},
    "npt": {"steps": 300},
    "supercell": [2, 1, 1],
    "trajectory_interval": 10,
    "checkpoint_interval": 10,
    "seed": 5,
}
LONGEST_SECONDS = 500.0


def frames(execution: Execution, request: CalculationRequest, attempt: int) -> list[np.ndarray]:
    folder: Path = execution.settings.storage_root / "results" / request.task_id / str(attempt)
    with Trajectory(folder / "npt.traj") as trajectory:
        return [frame.positions for frame in trajectory]


def test_a_lost_run_goes_on_from_its_checkpoint_as_if_never_lost(execution: Execution) -> None:
    magnesia = bulk("MgO", "rocksalt", a=4.25)
    lost = execution.submit(magnesia, PARAMETERS, task_type=TaskType.STABILITY)

    def is_under_way() -> bool:
        assert execution.state(lost) in {"SCHEDULED", "PENDING", "RUNNING"}
        progress = execution.one("SELECT progress FROM tasks WHERE id = %s", lost.task_id) or {}
        return progress.get("stage") == "npt" and progress["current_step"] >= 20

    wait_until(is_under_way, LONGEST_SECONDS, "the production run", every=0.1)
    # As when its worker is lost: the task gets another attempt, and the old one is fenced out.
    second = execution.requeue(lost)
    execution.end_of(lost, LONGEST_SECONDS)
    execution.assign(second)
    assert execution.end_of(second, LONGEST_SECONDS)["state"]["type"] == "COMPLETED"
    assert any("npt continues from step" in message for message in execution.messages(lost))
    assert execution.messages(lost).count("Stage nvt begins on GPU 0.") == 1
    registered = execution.database.execute(
        "SELECT path, attempt FROM files WHERE task_id = %s", [lost.task_id]
    ).fetchall()
    assert len(registered) == len(execution.result(second)["output_files"])
    assert {row["attempt"] for row in registered} == {2}

    whole = execution.submit(magnesia, PARAMETERS, task_type=TaskType.STABILITY)
    assert execution.end_of(whole, LONGEST_SECONDS)["state"]["type"] == "COMPLETED"
    resumed, never_stopped = frames(execution, lost, 2), frames(execution, whole, 1)
    assert len(resumed) == len(never_stopped) == 31
    for one, other in zip(resumed, never_stopped, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("final_volume_A3", "mean_temperature_K", "rmsd_A", "coordination"):
        assert execution.result(second)[name] == execution.result(whole)[name], name


def test_dynamics_that_explode_fail_for_good_and_what_they_wrote_is_registered(execution: Execution) -> None:
    # Hardly relaxed, it heats itself far beyond the temperature asked for.
    strained = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    strained.rattle(0.3, seed=3)
    settings = PARAMETERS | {"supercell": [1, 1, 1], "nvt": {"steps": 200, "temperature_K": 1.0}}
    request = execution.submit(strained, settings, task_type=TaskType.STABILITY)

    assert execution.end_of(request, LONGEST_SECONDS)["state"]["type"] == "FAILED"
    error = execution.error(request)
    assert (error["code"], error["stage"], error["transient"]) == (50008, "nvt", False)
    files = execution.files(request)
    assert {"optimized_structure", "trajectory", "nvt_trajectory"} <= files.keys()
    assert "npt_trajectory" not in files
    assert files["optimized_structure"].parent.name == "opt"
    with Trajectory(files["nvt_trajectory"]) as trajectory:
        assert len(trajectory) >= 1
