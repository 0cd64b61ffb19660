"""The database lets a task make the moves of the contract, records them, and refuses all others."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import Any

import psycopg
import pytest

from api_gateway.database.models import ENDED, TaskStatus
from mof_benchmark.identifiers import new_id
from tests.api_gateway.tasks_for_tests import Sql

ALLOWED = {
    ("PENDING", "QUEUED"),
    ("PENDING", "FAILED"),
    ("PENDING", "CANCELLED"),
    ("QUEUED", "ASSIGNED"),
    ("QUEUED", "CANCELLED"),
    ("ASSIGNED", "RUNNING"),
    ("ASSIGNED", "QUEUED"),
    ("ASSIGNED", "FAILED"),
    ("ASSIGNED", "CANCELLED"),
    ("ASSIGNED", "TIMEOUT"),
    ("RUNNING", "COMPLETED"),
    ("RUNNING", "QUEUED"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLED"),
    ("RUNNING", "TIMEOUT"),
}
ROAD_TO = {
    "PENDING": [],
    "QUEUED": ["QUEUED"],
    "ASSIGNED": ["QUEUED", "ASSIGNED"],
    "RUNNING": ["QUEUED", "ASSIGNED", "RUNNING"],
    "COMPLETED": ["QUEUED", "ASSIGNED", "RUNNING", "COMPLETED"],
    "FAILED": ["FAILED"],
    "CANCELLED": ["CANCELLED"],
    "TIMEOUT": ["QUEUED", "ASSIGNED", "TIMEOUT"],
}


def insert_task(sql: Sql, status: str = "PENDING", **columns: Any) -> str:
    values = {
        "id": new_id("task"),
        "task_type": "single-point-energy",
        "model": "sevennet_prod",
        "structure_id": "builtin:MOF-5",
        "structure": "{}",
        "parameters": "{}",
        "priority": 2,
        "timeout_seconds": 60,
        "request_id": "req_1",
        "status": status,
    } | columns
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    sql.run(f"INSERT INTO tasks ({names}) VALUES ({marks})", *values.values())  # noqa: S608
    return str(values["id"])


def move(sql: Sql, task_id: str, status: str) -> None:
    # A task that is queued again has a new attempt number; otherwise the guard refuses.
    sql.run(
        "UPDATE tasks SET status = %s, attempt = attempt + (status IN ('ASSIGNED', 'RUNNING') AND %s ="
        " 'QUEUED')::integer WHERE id = %s",
        status,
        status,
        task_id,
    )


@pytest.mark.parametrize(("before", "after"), list(product(TaskStatus, TaskStatus)))
def test_only_the_moves_of_the_contract_are_possible(sql: Sql, before: str, after: str) -> None:
    task_id = insert_task(sql)
    for step in ROAD_TO[before]:
        move(sql, task_id, step)
    if before == after:
        move(sql, task_id, after)
        assert sql.moves(task_id).count(after) == 1
    elif (before, after) in ALLOWED:
        move(sql, task_id, after)
        assert sql.moves(task_id) == ["PENDING", *ROAD_TO[before], after]
        assert (sql.task(task_id)["ended_at"] is not None) == (TaskStatus(after) in ENDED)
    else:
        with pytest.raises(psycopg.Error, match=f"from {before} to {after}") as refusal:
            move(sql, task_id, after)
        assert refusal.value.sqlstate == "MF001"
        assert sql.status(task_id) == before


def test_a_task_cannot_be_born_running(sql: Sql) -> None:
    with pytest.raises(psycopg.Error, match="cannot begin as RUNNING"):
        insert_task(sql, "RUNNING")


def test_a_task_is_not_queued_again_without_a_new_attempt_number(sql: Sql) -> None:
    task_id = insert_task(sql, "QUEUED")
    move(sql, task_id, "ASSIGNED")
    with pytest.raises(psycopg.Error, match="without a new attempt number"):
        sql.run("UPDATE tasks SET status = 'QUEUED' WHERE id = %s", task_id)


def test_every_move_is_recorded_with_its_reason_attempt_and_gpu(sql: Sql) -> None:
    task_id = insert_task(sql, "QUEUED")
    sql.run("UPDATE tasks SET status = 'ASSIGNED', gpu_id = 3, status_reason = 'warm' WHERE id = %s", task_id)
    last = sql.rows("SELECT * FROM task_history WHERE task_id = %s ORDER BY id", task_id)[-1]
    assert (last["from_status"], last["to_status"]) == ("QUEUED", "ASSIGNED")
    assert (last["attempt"], last["gpu_id"], last["reason"]) == (1, 3, "warm")
    assert last["at"] is not None


def test_listeners_hear_of_new_tasks_and_of_moves(sql: Sql, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN mofsim_queue")
        listener.execute("LISTEN mofsim_task")
        task_id = insert_task(sql, "QUEUED")
        move(sql, task_id, "ASSIGNED")
        move(sql, task_id, "FAILED")
        heard = [(note.channel, note.payload) for note in listener.notifies(timeout=2, stop_after=4)]
    assert heard == [
        ("mofsim_queue", ""),
        ("mofsim_task", task_id),
        ("mofsim_queue", ""),
        ("mofsim_task", task_id),
    ]


def test_the_outbox_holds_the_chosen_events_of_a_task_and_no_others(sql: Sql) -> None:
    task_id = insert_task(
        sql, notify_url="https://example.org/hook", notify_events=["task.completed", "task.started"]
    )
    for status in ("QUEUED", "ASSIGNED", "RUNNING"):
        move(sql, task_id, status)
    sql.run(
        "INSERT INTO task_results (task_id, attempt, result) VALUES (%s, 1, %s)",
        task_id,
        json.dumps({"converged": True, "energy_eV": -1234.567}),
    )
    move(sql, task_id, "COMPLETED")

    rows = sql.rows("SELECT * FROM webhook_deliveries WHERE task_id = %s ORDER BY id", task_id)
    started, completed = (json.loads(row["body"]) for row in rows)
    assert [row["event"] for row in rows] == ["task.started", "task.completed"]
    assert {row["status"] for row in rows} == {"pending"}
    assert started["status"] == "RUNNING"
    assert started["result_url"] is None
    assert completed["event"] == "task.completed"
    assert completed["result_url"] == f"/api/v1/tasks/{task_id}/result"
    assert completed["summary"]["converged"] is True
    assert completed["summary"]["final_energy_eV"] == -1234.567
    assert completed["summary"]["duration_seconds"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", completed["timestamp"])


def test_a_move_that_is_rolled_back_leaves_no_webhook(sql: Sql) -> None:
    task_id = insert_task(sql, notify_url="https://example.org/hook", notify_events=["task.cancelled"])
    with sql.connection.transaction(force_rollback=True):
        move(sql, task_id, "CANCELLED")
        assert len(sql.rows("SELECT 1 FROM webhook_deliveries")) == 1
    assert sql.rows("SELECT 1 FROM webhook_deliveries") == []


def test_identifiers_made_by_the_database_sort_by_time_like_those_made_by_python(sql: Sql) -> None:
    mixed = []
    for _ in range(5):
        mixed.append(new_id("dlv"))
        sql.run("SELECT pg_sleep(0.003)")
        mixed.append(sql.call("new_id", "dlv"))
        sql.run("SELECT pg_sleep(0.003)")
    assert mixed == sorted(mixed)
    assert all(re.fullmatch("dlv_[0-9a-hjkmnp-tv-z]{26}", identifier) for identifier in mixed)
