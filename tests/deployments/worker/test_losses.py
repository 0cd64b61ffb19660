"""Every part of the path is killed once; what comes after works."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

import distributed
import psutil
from ase.build import bulk

from tests.deployments.worker.test_stopping import begin_long_run
from tests.fixtures.execution import START_SECONDS, Execution, wait_until

SALT = bulk("NaCl", "rocksalt", a=5.64)


def assert_the_slot_works(execution: Execution) -> None:
    request = execution.submit(SALT)
    assert execution.end_of(request, START_SECONDS)["state"]["type"] == "COMPLETED"


def test_a_killed_host_fails_its_run_at_once_and_transiently(execution: Execution) -> None:
    request = begin_long_run(execution)
    os.kill(execution.slot()["pid"], signal.SIGKILL)
    assert execution.end_of(request, 20)["state"]["type"] == "FAILED"
    error = execution.error(request)
    assert (error["code"], error["transient"], error["interrupted"]) == (50009, True, False)
    assert_the_slot_works(execution)


def test_a_host_whose_device_is_lost_to_it_makes_way_for_another(execution: Execution) -> None:
    def lose_the_device(dask_worker: Any) -> None:
        dask_worker.plugins["mofsim-host"].host.broken = "CUDA error: an illegal memory access"

    pid = execution.slot()["pid"]
    with distributed.Client(execution.settings.dask.scheduler_address) as client:
        client.run(lose_the_device, on_error="ignore")
    wait_until(lambda: not psutil.pid_exists(pid), 30, "the host's end")
    wait_until(lambda: execution.host_is_up(other_than=pid), START_SECONDS, "the host's return")
    assert_the_slot_works(execution)


def test_a_killed_worker_leaves_no_run_behind_that_blocks_its_pool(execution: Execution) -> None:
    request = begin_long_run(execution)
    execution.kill("worker")
    assert execution.state(request) == "RUNNING"
    execution.requeue(request)
    execution.start_worker()
    assert execution.end_of(request, START_SECONDS)["state"]["type"] == "CRASHED"
    assert_the_slot_works(execution)


def test_what_a_worker_had_claimed_when_it_died_is_closed_by_the_next(execution: Execution) -> None:
    execution.kill("worker")
    request = execution.submit(SALT)
    claimed = execution.one(
        "SELECT attempt_claim(%s, 1, %s)", request.task_id, f"{socket.gethostname()}:1:boot"
    )
    assert (claimed, execution.state(request)) == ("go", "SCHEDULED")
    execution.start_worker()
    assert execution.end_of(request, START_SECONDS)["state"]["type"] == "CRASHED"
    assert_the_slot_works(execution)


def test_what_another_machine_s_worker_has_claimed_is_left_to_it(execution: Execution) -> None:
    execution.kill("worker")
    request = execution.submit(SALT)
    assert execution.one("SELECT attempt_claim(%s, 1, 'elsewhere:1:boot')", request.task_id) == "go"
    execution.start_worker()
    refused = f"Run {request.task_id}:1 was not ours to run"
    log = execution.settings.log_dir / "worker.log"
    wait_until(lambda: refused in log.read_text(), START_SECONDS, "the refusal")
    run = execution.flow_run(request)
    assert run["state"]["type"] == "SCHEDULED"
    # Until the gateway closes it, it goes before all others of its pool.
    execution.api.post(
        f"/flow_runs/{run['id']}/set_state", json={"state": {"type": "CRASHED"}}
    ).raise_for_status()
    assert_the_slot_works(execution)


def test_a_worker_waits_for_a_database_that_is_not_upgraded_yet(execution: Execution) -> None:
    execution.kill("worker")
    log = execution.settings.log_dir / "worker.log"
    said = log.read_text().count("closing leftovers waits")
    execution.database.execute("ALTER FUNCTION attempt_workers(uuid[]) RENAME TO not_yet")
    try:
        execution.start_worker()
        wait_until(lambda: log.read_text().count("closing leftovers waits") > said, START_SECONDS, "the wait")
    finally:
        execution.database.execute("ALTER FUNCTION not_yet(uuid[]) RENAME TO attempt_workers")
    assert_the_slot_works(execution)


def test_a_killed_prefect_server_loses_no_end_of_a_run(execution: Execution) -> None:
    request = begin_long_run(execution, max_steps=300)
    execution.kill("prefect")
    execution.start_prefect()
    wait_until(lambda: execution.result(request) is not None, 60, "the result")
    assert execution.end_of(request)["state"]["type"] == "COMPLETED"
    assert_the_slot_works(execution)


def test_a_killed_scheduler_fails_the_run_transiently_and_the_slot_comes_back(execution: Execution) -> None:
    request = begin_long_run(execution)
    execution.kill("scheduler")
    execution.start_scheduler()
    assert execution.end_of(request)["state"]["type"] == "FAILED"
    error = execution.error(request)
    assert (error["code"], error["transient"], error["interrupted"]) == (50009, True, True)
    assert_the_slot_works(execution)


def test_a_run_that_begins_while_the_scheduler_is_away_waits_for_it_and_for_the_host(
    execution: Execution,
) -> None:
    execution.kill("scheduler")
    wait_until(lambda: not execution.slot()["ok"], 60, "a slot that no stage can reach")
    request = execution.submit(SALT)
    wait_until(lambda: execution.state(request) == "RUNNING", 60, "the run's start")
    execution.start_scheduler()
    assert execution.end_of(request, START_SECONDS)["state"]["type"] == "COMPLETED"
    wait_until(lambda: execution.slot()["ok"], START_SECONDS, "the slot well again")


def test_a_host_dies_with_the_process_it_was_forked_from(execution: Execution) -> None:
    pid = execution.slot()["pid"]
    psutil.Process(pid).parent().kill()
    wait_until(lambda: not psutil.pid_exists(pid), 30, "the host's end")
    wait_until(lambda: execution.host_is_up(other_than=pid), START_SECONDS, "the host's return")
    assert_the_slot_works(execution)


def test_late_news_of_a_run_that_has_ended_does_not_begin_it_again(execution: Execution) -> None:
    request = execution.submit(SALT)
    run = execution.end_of(request, START_SECONDS)
    waiting = run | {"state": {"type": "SCHEDULED"}, "state_type": "SCHEDULED"}
    news = f"gpu-{request.gpu_id} {run['id']} {json.dumps(waiting)}"
    execution.database.execute("SELECT pg_notify('mofsim_pool', %s)", [news])
    assert_the_slot_works(execution)
    assert execution.flow_run(request)["state"]["id"] == run["state"]["id"]
