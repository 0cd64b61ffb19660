"""Stopping a run: who asks, how soon it ends, and what survives."""

from __future__ import annotations

import os
import signal

import pytest
from ase.build import bulk

from mof_benchmark.schemas import CalculationRequest, TaskType
from tests.fixtures.execution import MODEL, Execution, wait_until

LONG = bulk("NaCl", "rocksalt", a=5.2, cubic=True)
LONG.rattle(0.1, seed=2)


def begin_long_run(execution: Execution, max_steps: int = 100_000) -> CalculationRequest:
    """An optimization that never reaches its target, well under way."""
    parameters = {"fmax": 1e-9, "max_steps": max_steps, "optimizer": "FIRE"}
    request = execution.submit(LONG, parameters, task_type=TaskType.OPTIMIZATION)
    wait_until(
        lambda: (execution.one("SELECT progress FROM tasks WHERE id = %s", request.task_id) or {}).get(
            "current_step", 0
        ),
        90,
        "the first steps",
    )
    return request


def test_a_cancelled_run_ends_at_its_next_step_and_the_host_keeps_its_models(execution: Execution) -> None:
    request = begin_long_run(execution)
    pid = execution.slot()["pid"]
    execution.ask_to_stop(request)
    assert execution.end_of(request)["state"]["type"] == "CANCELLED"
    wait_until(lambda: execution.slot()["current"] is None, what="the GPU free")
    assert execution.slot()["pid"] == pid
    assert MODEL in execution.slot()["warm_models"]
    # Registered before Prefect was told, and at rest since then.
    files = execution.files(request)
    assert {"optimized_structure", "trajectory", "trajectory_extxyz"} <= files.keys()
    size = execution.one(
        "SELECT size_bytes FROM files WHERE task_id = %s AND role = 'trajectory'", request.task_id
    )
    assert files["trajectory"].stat().st_size == size


def test_a_run_cancelled_in_prefects_ui_stops_computing(execution: Execution) -> None:
    request = begin_long_run(execution)
    run = execution.flow_run(request)
    answer = execution.api.post(
        f"/flow_runs/{run['id']}/set_state", json={"state": {"type": "CANCELLING", "name": "Cancelling"}}
    )
    answer.raise_for_status()
    # As the gateway's follower does when it sees that state.
    execution.database.execute(
        "UPDATE tasks SET stop_requested_at = now(), stop_reason = 'cancel' WHERE id = %s", [request.task_id]
    )
    assert execution.end_of(request)["state"]["type"] == "CANCELLED"
    wait_until(lambda: execution.slot()["current"] is None, what="the GPU free")


def test_a_frozen_host_is_killed_after_the_grace_time_and_comes_back(execution: Execution) -> None:
    request = begin_long_run(execution)
    pid = execution.slot()["pid"]
    os.kill(pid, signal.SIGSTOP)
    execution.ask_to_stop(request)
    assert execution.end_of(request)["state"]["type"] == "CANCELLED"
    wait_until(lambda: execution.host_is_up(other_than=pid), 120, "the host's return")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    # What it had written by then; it wrote no structure, as no last step was its last.
    assert execution.files(request).keys() == {"trajectory", "trajectory_extxyz"}


def test_an_attempt_that_was_replaced_gives_up_and_writes_nothing(execution: Execution) -> None:
    request = begin_long_run(execution)
    execution.requeue(request)
    assert execution.end_of(request)["state"]["type"] == "CRASHED"
    assert execution.result(request) is None
    assert execution.error(request) is None
    assert execution.files(request) == {}
    wait_until(lambda: execution.slot()["current"] is None, what="the GPU free")
