"""An optimization through flow, worker and host."""

from __future__ import annotations

import base64
import io

from ase.build import bulk
from PIL import Image

from mof_benchmark.schemas import TaskType
from tests.fixtures.execution import Execution, wait_until

STRAINED = bulk("NaCl", "rocksalt", a=5.2)
STRAINED.rattle(0.05, seed=1)


def test_an_optimization_registers_structure_trajectory_and_plot(execution: Execution) -> None:
    request = execution.submit(STRAINED, {"fmax": 0.05}, task_type=TaskType.OPTIMIZATION)
    assert execution.end_of(request)["state"]["type"] == "COMPLETED"
    result = execution.result(request)
    assert result["converged"]
    assert result["final_energy_eV"] < result["initial_energy_eV"]
    rows = execution.database.execute("SELECT role FROM files WHERE task_id = %s", [request.task_id])
    assert {"optimized_structure", "trajectory", "convergence_plot"} <= {row["role"] for row in rows}


def test_prefect_shows_the_result_as_a_table_and_a_picture(execution: Execution) -> None:
    request = execution.submit(STRAINED, {"fmax": 0.2}, task_type=TaskType.OPTIMIZATION)
    run = execution.end_of(request)
    wanted = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}

    def shown() -> dict[str, str]:
        artifacts = execution.api.post("/artifacts/filter", json=wanted).json()
        return {artifact["type"]: artifact["data"] for artifact in artifacts}

    wait_until(lambda: {"markdown", "image"} <= shown().keys(), what="both artifacts")
    assert "final_energy_eV" in shown()["markdown"]
    kind, _, packed = shown()["image"].partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
        assert picture.width == 720
    assert len(packed) < 60_000


def test_who_insists_on_convergence_gets_a_failure_and_the_result_all_the_same(execution: Execution) -> None:
    parameters = {"fmax": 1e-6, "max_steps": 1}
    request = execution.submit(
        STRAINED, parameters, task_type=TaskType.OPTIMIZATION, require_convergence=True
    )
    assert execution.end_of(request)["state"]["type"] == "FAILED"
    assert execution.error(request)["code"] == 50006
    result = execution.result(request)
    assert result["converged"] is False
    assert execution.files(request).keys() == {file["role"] for file in result["output_files"]}
