"""What flows and hosts may write, and what is refused to an attempt that is not the task's own."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from mof_benchmark.identifiers import new_id
from tests.api_gateway.database.test_moves import insert_task
from tests.api_gateway.tasks_for_tests import Sql, slot_document

LINE = {"timestamp": "2026-01-02T03:04:05.678Z", "level": "INFO", "logger": "task.optimization"}


@pytest.fixture
def task_id(sql: Sql) -> str:
    """A running task on GPU 0."""
    task_id = insert_task(sql, "QUEUED")
    sql.bind(task_id)
    sql.start(task_id)
    return task_id


def request_stop(sql: Sql, task_id: str) -> None:
    sql.run("UPDATE tasks SET stop_requested_at = now(), stop_reason = 'cancel' WHERE id = %s", task_id)


def left(task_id: str, name: str = "trajectory.traj", *, attempt: int = 1) -> dict[str, Any]:
    """A file that an attempt left in its work folder."""
    return {
        "file_id": new_id("file"),
        "role": "trajectory",
        "path": f"results/{task_id}/{attempt}/{name}",
        "media_type": "application/octet-stream",
        "size_bytes": 5,
        "sha256": "0" * 64,
    }


def registered(sql: Sql, task_id: str) -> list[tuple[int, str]]:
    """Attempt and path of the task's files."""
    rows = sql.rows("SELECT attempt, path FROM files WHERE task_id = %s ORDER BY id", task_id)
    return [(row["attempt"], row["path"].removeprefix(f"results/{task_id}/")) for row in rows]


def queue_again(sql: Sql, task_id: str) -> None:
    sql.run("UPDATE tasks SET status = 'QUEUED', attempt = attempt + 1 WHERE id = %s", task_id)


def test_an_attempt_belongs_to_the_worker_that_claims_it_first(sql: Sql, database_url: str) -> None:
    task_id, run_id = insert_task(sql, "QUEUED"), uuid4()
    sql.bind(task_id)
    sql.run("UPDATE task_attempts SET flow_run_id = %s WHERE task_id = %s", run_id, task_id)

    def claim(worker: str) -> Any:
        with psycopg.connect(database_url, autocommit=True) as connection:
            return connection.execute("SELECT attempt_claim(%s, 1, %s)", [task_id, worker]).fetchone()[0]

    workers = [f"elsewhere:{number}:boot" for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = dict(zip(workers, threads.map(claim, workers), strict=True))
    (winner,) = (worker for worker, answer in answers.items() if answer == "go")
    assert set(answers.values()) == {"go", "fenced"}
    assert sql.attempt(task_id)["flow_heartbeat_at"] is not None
    assert claim(winner) == "go", "whose answer was lost asks again"
    held = sql.rows("SELECT * FROM attempt_workers(%s)", [run_id, uuid4()])
    assert held == [{"flow_run_id": run_id, "worker": winner}]


def test_what_must_stop_is_not_claimed(sql: Sql, task_id: str) -> None:
    request_stop(sql, task_id)
    assert sql.call("attempt_claim", task_id, 1, "here:1:boot") == "stop"
    assert sql.attempt(task_id)["worker"] is None


def test_a_heartbeat_stamps_its_source_and_is_told_to_go_on(sql: Sql, task_id: str) -> None:
    assert sql.call("attempt_heartbeat", task_id, 1, "flow") == "go"
    assert sql.attempt(task_id)["flow_heartbeat_at"] is not None
    assert sql.attempt(task_id)["host_heartbeat_at"] is None
    assert sql.call("attempt_heartbeat", task_id, 1, "host") == "go"
    assert sql.attempt(task_id)["host_heartbeat_at"] is not None


def test_a_stop_reaches_every_kind_of_report(sql: Sql, task_id: str) -> None:
    request_stop(sql, task_id)
    assert sql.call("attempt_heartbeat", task_id, 1, "flow") == "stop"
    assert sql.call("attempt_report", task_id, 1, None, []) == "stop"


@pytest.mark.parametrize("how", ["queued again", "ended", "never was"])
def test_a_zombie_can_write_nothing(sql: Sql, task_id: str, how: str) -> None:
    if how == "queued again":
        queue_again(sql, task_id)
    elif how == "ended":
        sql.run("UPDATE tasks SET status = 'CANCELLED' WHERE id = %s", task_id)
    else:
        task_id = "task_unknown"
    before = sql.rows("SELECT * FROM tasks"), sql.rows("SELECT * FROM task_attempts")

    assert sql.call("attempt_claim", task_id, 1, "here:1:boot") == "fenced"
    assert sql.call("attempt_heartbeat", task_id, 1, "flow") == "fenced"
    assert sql.call("attempt_report", task_id, 1, {"percentage": 50}, [LINE]) == "fenced"
    assert sql.call("attempt_result", task_id, 1, {"converged": True}, []) == "fenced"
    assert sql.call("attempt_error", task_id, 1, {"code": 50001}) == "fenced"
    if how != "ended":
        assert sql.call("attempt_files", task_id, 1, [left(task_id)]) == "fenced"

    assert before == (sql.rows("SELECT * FROM tasks"), sql.rows("SELECT * FROM task_attempts"))
    assert sql.rows("SELECT 1 FROM task_logs") == []
    assert sql.rows("SELECT 1 FROM task_results") == []
    assert sql.rows("SELECT 1 FROM files") == []


def test_a_report_sets_progress_and_appends_its_lines_in_order(sql: Sql, task_id: str) -> None:
    progress = {"stage": "relax", "current_step": 3, "total_steps": 10, "percentage": 30, "values": {}}
    lines = [LINE | {"message": f"step {step}", "extra": {"step": step}} for step in range(20)]
    assert sql.call("attempt_report", task_id, 1, progress, lines) == "go"
    assert sql.call("attempt_report", task_id, 1, None, [{"message": "bare"}]) == "go"

    assert sql.task(task_id)["progress"] == progress
    stored = sql.rows("SELECT * FROM task_logs WHERE task_id = %s ORDER BY id", task_id)
    assert [line["message"] for line in stored] == [f"step {step}" for step in range(20)] + ["bare"]
    assert stored[7]["extra"] == {"step": 7}
    assert stored[0]["timestamp"].isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert stored[-1]["level"] == "INFO"
    assert stored[-1]["gpu_id"] == 0


def test_numbers_of_a_tasks_events_never_become_visible_out_of_order(
    sql: Sql, task_id: str, database_url: str
) -> None:
    """A reader that takes all above the last number it saw must end up with every line, once."""
    done = threading.Event()

    def write(writer: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            for number in range(40):
                connection.execute(
                    "SELECT attempt_report(%s, 1, NULL, %s)",
                    (task_id, json.dumps([{"message": f"{writer}/{number}"}])),
                )

    def read() -> list[str]:
        seen: list[str] = []
        last = 0
        with psycopg.connect(database_url, autocommit=True) as connection:
            while True:
                finished = done.is_set()
                for number, message in connection.execute(
                    "SELECT id, message FROM task_logs WHERE task_id = %s AND id > %s ORDER BY id",
                    (task_id, last),
                ):
                    last = number
                    seen.append(message)
                if finished:
                    return seen

    with ThreadPoolExecutor(5) as threads:
        reader = threads.submit(read)
        list(threads.map(write, range(4)))
        done.set()
        seen = reader.result()
    assert sorted(seen) == sorted(f"{writer}/{number}" for writer in range(4) for number in range(40))


def test_progress_webhooks_come_at_most_every_five_percent_and_two_seconds(sql: Sql, task_id: str) -> None:
    sql.run(
        "UPDATE tasks SET notify_url = 'https://example.org', notify_events = '{task.progress}'"
        " WHERE id = %s",
        task_id,
    )
    for percentage in (1, 6, 8, 30):
        sql.call("attempt_report", task_id, 1, {"percentage": percentage}, [])
    bodies = [json.loads(row["body"]) for row in sql.rows("SELECT body FROM webhook_deliveries")]
    assert [body["progress"]["percentage"] for body in bodies] == [6]

    sql.run("UPDATE tasks SET notified_at = now() - interval '3 s' WHERE id = %s", task_id)
    sql.call("attempt_report", task_id, 1, {"percentage": 31}, [])
    bodies = [json.loads(row["body"]) for row in sql.rows("SELECT body FROM webhook_deliveries ORDER BY id")]
    assert [body["progress"]["percentage"] for body in bodies] == [6, 31]


def test_a_result_is_stored_with_its_files_and_a_repeat_changes_nothing(sql: Sql, task_id: str) -> None:
    file = {
        "file_id": "file_1",
        "role": "trajectory",
        "path": f"results/{task_id}/1/trajectory.extxyz",
        "media_type": "text/plain",
        "size_bytes": 5_000_000_000,
        "sha256": "0" * 64,
    }
    for _ in range(2):
        assert sql.call("attempt_result", task_id, 1, {"converged": True}, [file]) == "go"
    assert sql.row("SELECT result FROM task_results")["result"] == {"converged": True}
    assert sql.row("SELECT * FROM files")["size_bytes"] == 5_000_000_000


@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "CANCELLED", "TIMEOUT"])
def test_what_an_attempt_left_is_registered_before_its_end_or_after(
    sql: Sql, task_id: str, status: str
) -> None:
    sql.run("UPDATE tasks SET status = %s WHERE id = %s", status, task_id)
    files = [left(task_id)]
    for _ in range(2):
        assert sql.call("attempt_files", task_id, 1, files) == ("go" if status == "RUNNING" else "stop")
    assert registered(sql, task_id) == [(1, "1/trajectory.traj")]


def test_a_later_attempt_takes_over_what_an_earlier_one_left(sql: Sql, task_id: str) -> None:
    sql.call("attempt_files", task_id, 1, [left(task_id), left(task_id, "nvt.traj")])
    queue_again(sql, task_id)
    assert len(registered(sql, task_id)) == 2, "nothing newer is there"
    assert sql.call("attempt_files", task_id, 1, [left(task_id, "npt.traj")]) == "fenced"
    sql.bind(task_id)
    sql.call("attempt_files", task_id, 2, [left(task_id), left(task_id, "nvt.traj", attempt=2)])
    assert registered(sql, task_id) == [(2, "1/trajectory.traj"), (2, "2/nvt.traj")]


def test_a_result_stands_alone_without_what_earlier_attempts_left(sql: Sql, task_id: str) -> None:
    sql.call("attempt_files", task_id, 1, [left(task_id)])
    queue_again(sql, task_id)
    sql.bind(task_id)
    sql.start(task_id)
    sql.call("attempt_result", task_id, 2, {"converged": True}, [left(task_id, attempt=2)])
    assert sql.call("attempt_files", task_id, 2, [left(task_id, "nvt.traj", attempt=2)]) == "go"
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)
    assert sql.call("attempt_files", task_id, 2, [left(task_id, "nvt.traj", attempt=2)]) == "fenced"
    assert registered(sql, task_id) == [(2, "2/trajectory.traj")]


def test_a_slot_report_answers_the_open_commands_until_they_are_done(sql: Sql) -> None:
    sql.run("INSERT INTO slot_commands (id, gpu_id, action, model) VALUES ('cmd_1', 0, 'load', 'mace_prod')")
    sql.run("INSERT INTO slot_commands (id, gpu_id, action, model) VALUES ('cmd_2', 1, 'load', 'mace_prod')")
    expected = [{"command_id": "cmd_1", "action": "load", "model": "mace_prod"}]
    assert sql.slot_report(0) == expected
    assert sql.slot_report(0) == expected
    sql.call("slot_command_done", "cmd_1", {"code": 50010})
    assert sql.slot_report(0) == []
    assert sql.row("SELECT error FROM slot_commands WHERE id = 'cmd_1'")["error"] == {"code": 50010}


def test_an_attempt_that_was_stopped_holds_its_slot_until_the_host_lets_go(sql: Sql, task_id: str) -> None:
    current = {"task_id": task_id, "attempt": 1}
    sql.slot_report(0, current=current)
    sql.run("UPDATE tasks SET status = 'CANCELLED' WHERE id = %s", task_id)
    sql.run("UPDATE task_attempts SET ended_at = now(), flow_run_id = gen_random_uuid()")
    sql.slot_report(0)
    assert sql.attempt(task_id)["released_at"] is None, "Prefect has not closed its run"
    sql.run("UPDATE task_attempts SET run_ended_at = now()")
    sql.slot_report(0, current=current)
    assert sql.attempt(task_id)["released_at"] is None, "the host still computes it"
    sql.slot_report(0)
    assert sql.attempt(task_id)["released_at"] is not None


def test_a_new_boot_clears_the_sentence_on_a_host(sql: Sql) -> None:
    sql.slot_report(0, "boot-1")
    sql.run("UPDATE gpu_slots SET kill_requested_at = now(), kill_reason = 'silent'")
    sql.slot_report(0, "boot-1")
    assert sql.row("SELECT gpu_id, boot_id, pid, host FROM slot_kills") == {
        "gpu_id": 0,
        "boot_id": "boot-1",
        "pid": slot_document()["pid"],
        "host": "test",
    }
    sql.slot_report(0, "boot-2")
    assert sql.rows("SELECT * FROM slot_kills") == []
