"""What the reconciler notices and heals, with Prefect away: the database alone decides."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from api_gateway.database import Database
from api_gateway.orchestrator import Orchestrator
from api_gateway.scheduling.reconciler import Reconciler
from mofsim_settings import Settings
from tests.api_gateway.tasks_for_tests import Sql, new_task, submit

pytestmark = pytest.mark.anyio


LOST_AFTER, GRACE = 2.0, 6.0
"""Seconds, far enough apart for a slow machine."""


@pytest.fixture
async def reconciler(database: Database, settings: Settings, sql: Sql) -> AsyncIterator[Reconciler]:
    # Silence is counted from the server's start.
    sql.run(
        "SELECT pg_sleep(extract(epoch FROM pg_postmaster_start_time() - now()) + %s)", LOST_AFTER + GRACE + 1
    )
    times = {"lost_after_seconds": LOST_AFTER, "cancel_grace_seconds": GRACE}
    scheduling = settings.scheduling.model_copy(update=times)
    settings = settings.model_copy(update={"scheduling": scheduling})
    async with Orchestrator.from_settings(settings) as orchestrator:
        yield Reconciler(database, orchestrator, settings)


@pytest.fixture
async def task_id(database: Database, settings: Settings, sql: Sql) -> str:
    """A running task on GPU 0, whose flow and host are well."""
    (task_id,) = await submit(database, settings, new_task(timeout_seconds=100))
    sql.bind(task_id)
    sql.start(task_id)
    sql.slot_report(0, current={"task_id": task_id, "attempt": 1})
    sql.call("attempt_heartbeat", task_id, 1, "flow")
    return task_id


def ago(sql: Sql, table: str, column: str, seconds: float) -> None:
    sql.run(f"UPDATE {table} SET {column} = now() - make_interval(secs => %s)", seconds)  # noqa: S608


async def test_what_is_well_is_left_alone(reconciler: Reconciler, task_id: str, sql: Sql) -> None:
    before = sql.task(task_id), sql.attempt(task_id), sql.rows("SELECT * FROM gpu_slots")
    await reconciler.give_up_lost()
    await reconciler.condemn_hosts()
    await reconciler.stop_overdue()
    await reconciler.end_stops_without_answer()
    await reconciler.unbind_overtaken()
    assert before == (sql.task(task_id), sql.attempt(task_id), sql.rows("SELECT * FROM gpu_slots"))


async def test_a_silent_flow_is_given_up_and_its_task_queued_at_its_old_place(
    reconciler: Reconciler, task_id: str, sql: Sql
) -> None:
    place = sql.task(task_id)["place"]
    ago(sql, "task_attempts", "flow_heartbeat_at", 5)
    ago(sql, "task_attempts", "started_at", 60)
    await reconciler.give_up_lost()
    task = sql.task(task_id)
    assert (task["status"], task["attempt"], task["place"], task["setbacks"]) == ("QUEUED", 2, place, 0)
    assert task["spent_seconds"] == pytest.approx(60, abs=2)
    assert "silent" in task["status_reason"]


async def test_silence_means_nothing_before_a_round_of_our_own_could_hear(
    reconciler: Reconciler, task_id: str, sql: Sql
) -> None:
    """The machine was frozen: nobody could say that they live, and we just woke up as well."""
    ago(sql, "task_attempts", "flow_heartbeat_at", 5)
    ago(sql, "task_attempts", "started_at", 60)
    await reconciler.reconcile_once()
    assert sql.status(task_id) == "RUNNING"


async def test_a_silent_host_is_condemned_once_and_its_attempt_given_up_later(
    reconciler: Reconciler, task_id: str, sql: Sql, database_url: str
) -> None:
    ago(sql, "gpu_slots", "reported_at", LOST_AFTER + 0.5)
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN mofsim_kill")
        await reconciler.condemn_hosts()
        await reconciler.condemn_hosts()
        assert [note.payload for note in listener.notifies(timeout=0.3)] == ["0"]
    assert sql.row("SELECT kill_reason FROM slot_kills")["kill_reason"] == "silent"
    await reconciler.give_up_lost()
    assert sql.status(task_id) == "RUNNING", "its flow may still notice by itself"
    ago(sql, "gpu_slots", "reported_at", LOST_AFTER + GRACE + 1)
    await reconciler.give_up_lost()
    task = sql.task(task_id)
    assert (task["status"], task["setbacks"]) == ("QUEUED", 1)


async def test_a_task_that_waits_at_a_dead_gpu_goes_elsewhere_without_a_setback(
    reconciler: Reconciler, database: Database, settings: Settings, sql: Sql
) -> None:
    (task_id,) = await submit(database, settings, new_task())
    sql.slot_report(0)
    sql.bind(task_id)
    ago(sql, "gpu_slots", "reported_at", LOST_AFTER + 0.5)
    await reconciler.give_up_lost()
    task = sql.task(task_id)
    assert (task["status"], task["setbacks"]) == ("QUEUED", 0)


async def test_time_spent_in_earlier_attempts_counts_towards_the_timeout(
    reconciler: Reconciler, task_id: str, sql: Sql
) -> None:
    ago(sql, "task_attempts", "started_at", 60)
    await reconciler.stop_overdue()
    assert sql.task(task_id)["stop_reason"] is None
    sql.run("UPDATE tasks SET spent_seconds = 50")
    await reconciler.stop_overdue()
    assert sql.task(task_id)["stop_reason"] == "timeout"
    assert sql.call("attempt_report", task_id, 1, None, []) == "stop"


async def test_a_stop_without_an_answer_ends_the_task_and_condemns_the_host_that_goes_on(
    reconciler: Reconciler, task_id: str, sql: Sql
) -> None:
    sql.run("UPDATE tasks SET stop_requested_at = now() - interval '7 s', stop_reason = 'timeout'")
    sql.slot_report(0, current={"task_id": task_id, "attempt": 1})
    await reconciler.condemn_hosts()
    await reconciler.end_stops_without_answer()
    assert sql.status(task_id) == "TIMEOUT"
    assert sql.row("SELECT kill_reason FROM slot_kills")["kill_reason"] == "does not stop"


async def test_a_host_that_goes_on_with_a_fenced_attempt_is_condemned_after_the_grace_time(
    reconciler: Reconciler, task_id: str, sql: Sql
) -> None:
    sql.run("UPDATE tasks SET status = 'QUEUED', attempt = 2")
    ago(sql, "task_attempts", "ended_at", 0)
    await reconciler.condemn_hosts()
    assert sql.rows("SELECT * FROM slot_kills") == []
    ago(sql, "task_attempts", "ended_at", GRACE + 1)
    sql.slot_report(0)
    sql.run("UPDATE task_attempts SET released_at = NULL")
    await reconciler.condemn_hosts()
    assert sql.rows("SELECT * FROM slot_kills") == [], "it has let go"
    sql.slot_report(0, current={"task_id": task_id, "attempt": 1})
    await reconciler.condemn_hosts()
    assert sql.row("SELECT gpu_id FROM slot_kills")["gpu_id"] == 0


async def test_a_task_bound_ahead_is_taken_back_when_another_gpu_came_free_first(
    reconciler: Reconciler, task_id: str, database: Database, settings: Settings, sql: Sql
) -> None:
    (waiting,) = await submit(database, settings, new_task())
    sql.bind(waiting, gpu_id=0)
    sql.run("UPDATE task_attempts SET bound_ahead = true WHERE task_id = %s", waiting)
    sql.run("UPDATE task_attempts SET created_at = now() - interval '5 s' WHERE task_id = %s", waiting)
    await reconciler.unbind_overtaken()
    assert sql.status(waiting) == "ASSIGNED", "no GPU is free"
    sql.slot_report(1)
    await reconciler.unbind_overtaken()
    assert sql.status(waiting) == "QUEUED"
    assert sql.status(task_id) == "RUNNING"


async def test_medians_of_like_tasks_are_kept(
    reconciler: Reconciler, database: Database, settings: Settings, sql: Sql
) -> None:
    for seconds in (1, 2, 30):
        (task_id,) = await submit(database, settings, new_task())
        sql.bind(task_id)
        sql.start(task_id)
        sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)
        sql.run(
            "UPDATE task_attempts SET started_at = now() - make_interval(secs => %s), ended_at = now(),"
            " released_at = now() WHERE task_id = %s",
            seconds,
            task_id,
        )
    await reconciler.measure()
    row = sql.row("SELECT * FROM task_durations")
    assert (row["task_type"], row["model"], row["samples"]) == ("single-point-energy", "sevennet_prod", 3)
    assert row["median_seconds"] == pytest.approx(2)
