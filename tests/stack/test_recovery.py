"""`kill -9` on each kind of process while a task runs: the stack heals, the task ends COMPLETED."""

from __future__ import annotations

import os
import signal

import pytest
from mofsim_client import MOFSimClient

from deployments.stack import supervision
from deployments.stack.watchdog import LOOK_SECONDS, WATCHED
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


def test_parts_that_hang_are_killed_and_come_back(client: MOFSimClient, home: Home) -> None:
    """Frozen all at once: none of them could tell of another."""
    task = client.submit_optimization("Mg-MOF-74", MODEL, fmax=1e-7, max_steps=STEPS)
    wait_until_running(task)
    # The watchdog gives a part that it has never heard from the time of a start.
    wait_for(lambda: all(home.up_for(part) > 4 * LOOK_SECONDS for part in WATCHED), "every part well known")
    frozen = {part: home.pid_of(part) for part in WATCHED}

    for pid in frozen.values():
        os.kill(pid, signal.SIGSTOP)

    for part, pid in frozen.items():
        wait_for(lambda part=part, pid=pid: home.pid_of(part) not in (0, pid), f"{part} running again")  # type: ignore[misc]
    assert task.wait(timeout=PATIENCE_SECONDS).steps == STEPS


def test_every_slot_works_after_all_that(client: MOFSimClient) -> None:
    from mofsim_client.requests import SinglePoint

    tasks = client.submit_batch([SinglePoint("Mg-MOF-74", MODEL) for _ in range(8)])
    client.wait_all(tasks, timeout=PATIENCE_SECONDS)
    assert {task.refresh().gpu_id for task in tasks} == {0, 1}
