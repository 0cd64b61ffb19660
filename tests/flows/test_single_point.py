"""A single point from a created flow run to the stored result."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from ase.build import bulk

from mof_benchmark.schemas import SinglePointResult
from tests.fixtures.execution import MODEL, Execution, wait_until

SALT = bulk("NaCl", "rocksalt", a=5.64)


def test_a_single_point_ends_with_its_result_and_its_files(execution: Execution) -> None:
    request = execution.submit(SALT)
    assert execution.end_of(request)["state"]["type"] == "COMPLETED"

    result = SinglePointResult.model_validate(execution.result(request))
    assert result.n_atoms == 2
    assert result.energy_per_atom_eV == pytest.approx(-3.6, abs=0.2)
    assert np.asarray(result.forces_eV_A).shape == (2, 3)
    assert result.provenance.structure_sha256 == request.structure.sha256

    file = execution.database.execute(
        "SELECT * FROM files WHERE task_id = %s AND role = 'evaluated_structure'", [request.task_id]
    ).fetchone()
    assert file is not None
    content = (execution.settings.storage_root / file["path"]).read_bytes()
    assert (file["size_bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert file["path"] == f"results/{request.task_id}/1/evaluated.extxyz"


def test_log_progress_and_a_table_of_the_result_can_be_read_in_both_places(execution: Execution) -> None:
    request = execution.submit(SALT)
    run = execution.end_of(request)
    progress = execution.one("SELECT progress FROM tasks WHERE id = %s", request.task_id)
    assert (progress["stage"], progress["percentage"]) == ("evaluate", 100.0)
    assert progress["values"]["energy_eV"] == pytest.approx(execution.result(request)["energy_eV"])
    line = "Stage evaluate begins on GPU 0."
    assert line in execution.messages(request)

    logs = {"logs": {"flow_run_id": {"any_": [run["id"]]}}}
    wait_until(
        lambda: line in [log["message"] for log in execution.api.post("/logs/filter", json=logs).json()],
        what="the line in Prefect",
    )
    artifacts = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
    (artifact,) = wait_until(
        lambda: execution.api.post("/artifacts/filter", json=artifacts).json(), what="the artifact"
    )
    assert "energy_eV" in artifact["data"]


def test_the_model_stays_warm_from_task_to_task(execution: Execution) -> None:
    first = execution.submit(SALT)
    execution.end_of(first)
    again = execution.submit(SALT)
    execution.end_of(again)
    assert not any(message.startswith("Loading model") for message in execution.messages(again))
    wait_until(lambda: MODEL in execution.slot()["warm_models"], what="the slot's report")


def test_a_finished_stage_is_not_computed_again_by_a_later_attempt(execution: Execution) -> None:
    request = execution.submit(SALT)
    execution.end_of(request)
    execution.database.execute("DELETE FROM task_results WHERE task_id = %s", [request.task_id])
    second = execution.requeue(request)
    execution.assign(second)
    assert execution.end_of(second)["state"]["type"] == "COMPLETED"
    assert execution.messages(request).count("Stage evaluate begins on GPU 0.") == 1
    path = execution.one("SELECT path FROM files WHERE task_id = %s AND attempt = 2", request.task_id)
    assert path == f"results/{request.task_id}/1/evaluated.extxyz"


def test_an_element_the_model_does_not_know_fails_for_good(execution: Execution) -> None:
    exotic = SALT.copy()
    exotic.symbols = ["Na", "Og"]
    request = execution.submit(exotic)
    run = execution.end_of(request)
    assert run["state"]["type"] == "FAILED"
    assert "40006" in run["state"]["message"]
    error = execution.error(request)
    assert (error["code"], error["stage"], error["transient"]) == (40006, "evaluate", False)
    assert "Og" in error["detail"]


def test_another_file_than_the_submitted_one_is_refused(execution: Execution) -> None:
    structure = execution.store(SALT)
    (execution.settings.storage_root / structure.path).write_text("2\n\nNa 0 0 0\nCl 3 0 0\n")
    request = execution.submit(structure)
    assert execution.end_of(request)["state"]["type"] == "FAILED"
    assert execution.error(request)["code"] == 40005
