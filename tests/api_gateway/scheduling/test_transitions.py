"""What each state of a Prefect run means for its task (the table of docs/interfaces.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from api_gateway.database import Database
from api_gateway.orchestrator import AttemptKey, RunNews, RunState
from api_gateway.scheduling.transitions import MOST_ATTEMPTS, apply_news
from mofsim_settings import Settings
from tests.api_gateway.tasks_for_tests import Sql, new_task, submit

pytestmark = pytest.mark.anyio

TRANSIENT = {"code": 50001, "type": "CudaError", "detail": "lost", "stage": "relax", "transient": True}
SCHEDULER_LOST = TRANSIENT | {"code": 50009, "type": "SchedulerLostError", "interrupted": True}
FINAL = {"code": 50008, "type": "UnphysicalError", "detail": "exploded", "stage": "md", "transient": False}


@pytest.fixture
async def task_id(database: Database, settings: Settings, sql: Sql) -> str:
    """A running task on GPU 0."""
    (task_id,) = await submit(database, settings, new_task())
    sql.bind(task_id)
    sql.start(task_id)
    return task_id


@pytest.fixture
def tell(database: Database, settings: Settings) -> Any:
    """Bring news of an attempt."""

    async def tell(task_id: str, state: RunState, attempt: int = 1) -> bool:
        key = AttemptKey(task_id=task_id, attempt=attempt)
        news = RunNews(key=key, flow_run_id=uuid4(), state=state, at=datetime.now(UTC), message="told")
        async with database.begin() as session:
            return await apply_news(session, news, settings.scheduling)

    return tell


async def test_a_run_that_completed_with_a_result_completes_its_task(
    tell: Any, task_id: str, sql: Sql
) -> None:
    sql.call("attempt_result", task_id, 1, {"converged": True}, [])
    assert await tell(task_id, RunState.COMPLETED)
    assert sql.moves(task_id) == ["QUEUED", "ASSIGNED", "RUNNING", "COMPLETED"]
    attempt = sql.attempt(task_id)
    assert attempt["outcome"] == "completed"
    assert None not in (attempt["ended_at"], attempt["released_at"], attempt["run_ended_at"])
    assert sql.task(task_id)["error"] is None


async def test_a_run_that_completed_without_a_result_fails_its_task(
    tell: Any, task_id: str, sql: Sql
) -> None:
    await tell(task_id, RunState.COMPLETED)
    assert sql.status(task_id) == "FAILED"
    assert sql.task(task_id)["error"]["code"] == 50001


async def test_a_completion_whose_start_was_missed_records_both_moves(
    tell: Any, database: Database, settings: Settings, sql: Sql
) -> None:
    (task_id,) = await submit(database, settings, new_task())
    sql.bind(task_id)
    sql.call("attempt_result", task_id, 1, {"converged": True}, [])
    await tell(task_id, RunState.COMPLETED)
    await tell(task_id, RunState.RUNNING)
    assert sql.moves(task_id) == ["QUEUED", "ASSIGNED", "RUNNING", "COMPLETED"]


async def test_repeated_and_late_news_change_nothing(tell: Any, task_id: str, sql: Sql) -> None:
    sql.call("attempt_result", task_id, 1, {"converged": True}, [])
    await tell(task_id, RunState.COMPLETED)
    for state in RunState:
        assert not await tell(task_id, state)
    assert sql.status(task_id) == "COMPLETED"


async def test_a_deterministic_failure_is_final_and_keeps_its_error(
    tell: Any, task_id: str, sql: Sql
) -> None:
    sql.call("attempt_error", task_id, 1, FINAL)
    await tell(task_id, RunState.FAILED)
    assert sql.status(task_id) == "FAILED"
    assert sql.task(task_id)["error"] == {key: FINAL[key] for key in ("code", "type", "detail", "stage")}


async def test_a_transient_failure_is_tried_again_after_a_wait_at_its_old_place(
    tell: Any, task_id: str, sql: Sql
) -> None:
    place = sql.task(task_id)["place"]
    sql.call("attempt_error", task_id, 1, TRANSIENT)
    await tell(task_id, RunState.FAILED)
    task = sql.task(task_id)
    assert (task["status"], task["attempt"], task["place"], task["setbacks"]) == ("QUEUED", 2, place, 1)
    assert task["not_before"] > datetime.now(UTC)
    assert sql.attempt(task_id)["outcome"] == "failed"
    assert sql.call("attempt_heartbeat", task_id, 1, "flow") == "fenced"


async def test_transient_failures_end_when_the_attempts_are_used_up(
    tell: Any, task_id: str, sql: Sql
) -> None:
    for attempt in (1, 2):
        sql.call("attempt_error", task_id, attempt, TRANSIENT)
        await tell(task_id, RunState.FAILED, attempt)
        if attempt == 1:
            sql.bind(task_id)
            sql.start(task_id)
    assert sql.status(task_id) == "FAILED"
    assert sql.task(task_id)["error"]["detail"] == "lost"


async def test_a_lost_worker_requeues_the_task_at_its_old_place(tell: Any, task_id: str, sql: Sql) -> None:
    place = sql.task(task_id)["place"]
    await tell(task_id, RunState.CRASHED)
    task = sql.task(task_id)
    assert (task["status"], task["attempt"], task["place"]) == ("QUEUED", 2, place)
    assert task["not_before"] is None
    attempt = sql.attempt(task_id)
    assert (attempt["outcome"], attempt["released_at"]) == ("lost", None)


@pytest.mark.parametrize("ends", [RunState.CRASHED, RunState.FAILED])
async def test_what_serves_all_tasks_may_be_lost_more_often_than_a_task_may_fail(
    tell: Any, task_id: str, sql: Sql, ends: RunState
) -> None:
    """The pool worker was stopped or killed, or the Dask scheduler died: the task is not to blame."""
    for attempt in range(1, MOST_ATTEMPTS + 1):
        task = sql.task(task_id)
        assert (task["status"], task["attempt"], task["setbacks"]) == ("RUNNING", attempt, 0)
        if ends is RunState.FAILED:
            sql.call("attempt_error", task_id, attempt, SCHEDULER_LOST)
        await tell(task_id, ends, attempt)
        if attempt < MOST_ATTEMPTS:
            sql.bind(task_id)
            sql.start(task_id)
    assert sql.status(task_id) == "FAILED", "but it ends some time"
    error = sql.task(task_id)["error"]
    assert error["code"] == 50009
    assert "interrupted" not in error


async def test_a_run_lost_before_it_began_counts_against_nobody(
    tell: Any, database: Database, settings: Settings, sql: Sql
) -> None:
    (task_id,) = await submit(database, settings, new_task())
    for attempt in range(1, 6):
        sql.bind(task_id)
        await tell(task_id, RunState.CRASHED, attempt)
    task = sql.task(task_id)
    assert (task["status"], task["attempt"], task["setbacks"]) == ("QUEUED", 6, 0)


@pytest.mark.parametrize(
    ("reason", "status", "code"), [("cancel", "CANCELLED", 50005), ("timeout", "TIMEOUT", 50002)]
)
@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.CRASHED, RunState.FAILED])
async def test_whatever_ends_a_run_that_was_asked_to_stop_it_ends_as_asked(
    tell: Any, task_id: str, sql: Sql, reason: str, status: str, code: int, state: RunState
) -> None:
    sql.run("UPDATE tasks SET stop_requested_at = now(), stop_reason = %s WHERE id = %s", reason, task_id)
    await tell(task_id, state)
    assert sql.status(task_id) == status
    assert sql.task(task_id)["error"]["code"] == code


async def test_a_cancellation_in_prefects_ui_reaches_the_stage(tell: Any, task_id: str, sql: Sql) -> None:
    await tell(task_id, RunState.CANCELLING)
    assert sql.call("attempt_report", task_id, 1, None, []) == "stop"
    await tell(task_id, RunState.CANCELLED)
    assert sql.status(task_id) == "CANCELLED"


async def test_news_of_a_fenced_attempt_only_closes_its_run(tell: Any, task_id: str, sql: Sql) -> None:
    sql.run("UPDATE tasks SET status = 'QUEUED', attempt = 2 WHERE id = %s", task_id)
    assert not await tell(task_id, RunState.COMPLETED, 1)
    assert sql.status(task_id) == "QUEUED"
    assert sql.attempt(task_id)["run_ended_at"] is not None


OUT_OF_MEMORY = {
    "code": 50007, "type": "OutOfMemoryError", "detail": "too big", "stage": "relax", "transient": False
}  # fmt: skip


async def test_a_task_out_of_memory_is_tried_once_more_with_a_larger_estimate_on_an_emptied_gpu(
    tell: Any, task_id: str, sql: Sql
) -> None:
    sql.run('UPDATE tasks SET "memory_estimate_MB" = 1000 WHERE id = %s', task_id)
    sql.call("attempt_error", task_id, 1, OUT_OF_MEMORY)
    await tell(task_id, RunState.FAILED)
    task = sql.task(task_id)
    assert (task["status"], task["attempt"], task["setbacks"]) == ("QUEUED", 2, 0)
    assert (task["out_of_memory"], task["memory_estimate_MB"]) == (True, 1500)
    assert "emptied" in task["status_reason"]

    sql.bind(task_id)
    sql.start(task_id)
    sql.call("attempt_error", task_id, 2, OUT_OF_MEMORY)
    await tell(task_id, RunState.FAILED, 2)
    assert sql.status(task_id) == "FAILED"
    assert sql.task(task_id)["error"]["code"] == 50007
