"""`kill -9` on each kind of process while a task runs: the stack heals, the task ends COMPLETED."""

from __future__ import annotations

import os
import signal

import pytest
from mofsim_client import MOFSimClient

from deployments.stack import supervision
from tests.stack.running import Home
from tests.stack.waiting import PATIENCE_SECONDS, wait_for, wait_until_running

pytestmark = pytest.mark.stack
MODEL = "sevennet_prod"
STEPS = 60


@pytest.mark.parametrize("part", ["gateway", "prefect", "postgres", "scheduler", "worker", "host"])
def test_a_killed_part_comes_back_and_the_task_completes(client: MOFSimClient, home: Home, part: str) -> None:
    task = client.submit_optimization("Mg-MOF-74", MODEL, fmax=1e-7, max_steps=STEPS)
    wait_until_running(task)
    name = f"host-{task.info.gpu_id}" if part == "host" else part
    killed = home.pid_of(name)

    os.kill(killed, signal.SIGKILL)

    wait_for(lambda: home.pid_of(name) not in (0, killed), f"{name} running again")
    result = task.wait(timeout=PATIENCE_SECONDS)
    assert result.steps == STEPS
    assert task.refresh().attempt in (1, 2)


def test_a_killed_supervisor_is_started_again_with_all_parts(client: MOFSimClient, home: Home) -> None:
    task = client.submit_optimization("Mg-MOF-74", MODEL, fmax=1e-7, max_steps=STEPS)
    wait_until_running(task)
    killed = supervision.running_pid(home.folder)
    assert killed is not None

    os.kill(killed, signal.SIGKILL)

    wait_for(lambda: supervision.running_pid(home.folder) not in (None, killed), "a new supervisor")
    assert task.wait(timeout=PATIENCE_SECONDS).steps == STEPS


def test_every_slot_works_after_all_that(client: MOFSimClient) -> None:
    from mofsim_client.requests import SinglePoint

    tasks = client.submit_batch([SinglePoint("Mg-MOF-74", MODEL) for _ in range(8)])
    client.wait_all(tasks, timeout=PATIENCE_SECONDS)
    assert {task.refresh().gpu_id for task in tasks} == {0, 1}
