"""Displacements in batches, on the task's own GPU and on an idle one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ase.build import bulk

from mof_benchmark.schemas import TaskType
from tests.fixtures.execution import START_SECONDS, Execution, wait_until

PARAMETERS = {"fmax": 5.0, "mesh": 10.0, "t_max": 300.0, "t_step": 100.0}


@pytest.fixture
def second_host(execution: Execution) -> Iterator[None]:
    """A host for GPU 1, which has no task."""
    execution.start_host(1)
    wait_until(lambda: execution.host_is_up(1), START_SECONDS, "the second host")
    yield
    execution.end("host-1")


@pytest.mark.usefixtures("second_host")
def test_batches_of_displacements_use_an_idle_gpu_too(execution: Execution) -> None:
    rattled = bulk("MgO", "rocksalt", a=4.25, cubic=True).repeat((2, 1, 1))
    rattled.rattle(0.02, seed=1)
    request = execution.submit(rattled, PARAMETERS, task_type=TaskType.HEAT_CAPACITY)
    assert execution.end_of(request, 600)["state"]["type"] == "COMPLETED"
    result = execution.result(request)
    assert result["n_displacements"] == 96
    begun = [m for m in execution.messages(request) if m.startswith("Stage displacements begins")]
    assert len(begun) == 3
    assert {message.removesuffix(".")[-1] for message in begun} == {"0", "1"}
    assert result["metrics"]["force_evaluations"] >= 96
