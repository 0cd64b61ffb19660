"""An optimization through flow, worker and host."""

from __future__ import annotations

from ase.build import bulk

from mof_benchmark.schemas import TaskType
from tests.fixtures.execution import Execution

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


def test_who_insists_on_convergence_gets_a_failure_and_the_result_all_the_same(execution: Execution) -> None:
    parameters = {"fmax": 1e-6, "max_steps": 1}
    request = execution.submit(
        STRAINED, parameters, task_type=TaskType.OPTIMIZATION, require_convergence=True
    )
    assert execution.end_of(request)["state"]["type"] == "FAILED"
    assert execution.error(request)["code"] == 50006
    assert execution.result(request)["converged"] is False
