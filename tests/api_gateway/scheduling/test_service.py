"""Taking tasks in, stopping them and telling how long they will wait."""

from __future__ import annotations

import time

import psycopg
import pytest

from api_gateway.database import Database
from api_gateway.database.models import Priority, Task
from api_gateway.scheduling.service import Cancellation, Notification, QueueService
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import TaskType
from mofsim_settings import Settings
from tests.api_gateway.tasks_for_tests import Sql, new_task, submit

pytestmark = pytest.mark.anyio


async def cancel(database: Database, settings: Settings, task_id: str) -> Cancellation:
    async with database.begin() as session:
        return await QueueService(settings).cancel(session, task_id)


async def test_a_submission_is_stored_whole(database: Database, settings: Settings, sql: Sql) -> None:
    hook = Notification(
        url="https://example.org", events=("task.failed",), secret_encrypted=b"x", retry_times=5
    )
    (task_id,) = await submit(
        database,
        settings,
        new_task(priority=Priority.HIGH, tags=("a", "b"), notification=hook, timeout_seconds=77),
    )
    task = sql.task(task_id)
    assert task["status"] == "QUEUED"
    assert (task["priority"], task["timeout_seconds"], task["attempt"]) == (1, 77, 1)
    assert task["structure"]["name"] == "Mg-MOF-74"
    assert task["tags"] == ["a", "b"]
    assert (task["notify_url"], task["notify_events"]) == ("https://example.org", ["task.failed"])
    assert (task["notify_secret_encrypted"], task["notify_retry_times"]) == (b"x", 5)
    assert sql.moves(task_id) == ["QUEUED"]


async def test_a_thousand_tasks_are_taken_in_order_within_three_seconds(
    database: Database, settings: Settings, sql: Sql
) -> None:
    tasks = [new_task(tags=(str(number),)) for number in range(1000)]
    began = time.monotonic()
    identifiers = await submit(database, settings, *tasks)
    assert time.monotonic() - began < 3
    rows = sql.rows("SELECT id, tags FROM tasks ORDER BY place")
    assert [row["tags"] for row in rows] == [[str(number)] for number in range(1000)]
    assert [row["id"] for row in rows] == identifiers


async def test_nothing_is_kept_of_a_submission_that_is_rolled_back(
    database: Database, settings: Settings, sql: Sql
) -> None:
    async with database.sessions() as session:
        await QueueService(settings).submit(session, [new_task()], request_id="req_1")
        await session.rollback()
    assert sql.rows("SELECT 1 FROM tasks UNION ALL SELECT 1 FROM task_history") == []


async def test_a_waiting_task_is_cancelled_at_once_and_only_once(
    database: Database, settings: Settings, sql: Sql
) -> None:
    (task_id,) = await submit(database, settings, new_task())
    assert await cancel(database, settings, task_id) is Cancellation.CANCELLED
    assert sql.moves(task_id) == ["QUEUED", "CANCELLED"]
    assert await cancel(database, settings, task_id) is Cancellation.ENDED
    assert await cancel(database, settings, new_id("task")) is Cancellation.UNKNOWN


async def test_a_running_task_is_asked_to_stop_and_its_worker_is_told(
    database: Database, settings: Settings, sql: Sql, database_url: str
) -> None:
    (task_id,) = await submit(database, settings, new_task())
    sql.bind(task_id)
    sql.start(task_id)
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("LISTEN mofsim_attempt")
        assert await cancel(database, settings, task_id) is Cancellation.STOPPING
        (note,) = listener.notifies(timeout=2, stop_after=1)
    assert note.payload == f"{task_id}:1"
    assert sql.status(task_id) == "RUNNING"
    assert sql.call("attempt_heartbeat", task_id, 1, "flow") == "stop"


async def test_position_and_wait_follow_priority_place_and_measured_durations(
    database: Database, settings: Settings, sql: Sql
) -> None:
    service = QueueService(settings)
    long, short = TaskType.HEAT_CAPACITY, TaskType.SINGLE_POINT
    sql.run(
        "INSERT INTO task_durations (task_type, model, median_seconds, samples) VALUES"
        " ('heat-capacity', 'sevennet_prod', 100, 9), ('single-point-energy', 'sevennet_prod', 2, 9)"
    )
    sql.slot_report(0)
    (running,) = await submit(database, settings, new_task(task_type=long))
    sql.bind(running)
    sql.start(running)
    async with database.begin() as session:
        first, second = await service.submit(
            session, [new_task(task_type=long), new_task(task_type=short)], request_id="req_1"
        )
        (urgent,) = await service.submit(session, [new_task(priority=Priority.CRITICAL)], request_id="req_1")
    assert (first.position, second.position, urgent.position) == (1, 2, 1)
    assert first.estimated_wait_seconds == pytest.approx(100, abs=1)
    assert second.estimated_wait_seconds == pytest.approx(200, abs=1)
    assert urgent.estimated_wait_seconds == pytest.approx(100, abs=1)

    async with database.begin() as session:
        outlook = await service.outlook(session, await session.get_one(Task, second.task_id))
        assert outlook is not None
        assert outlook.position == 3
        assert outlook.estimated_wait_seconds == pytest.approx(202, abs=1)
        assert await service.outlook(session, await session.get_one(Task, running)) is None
        assert (await service.forecast(session)).queue_length == 3


async def test_a_wait_is_told_from_tasks_of_the_same_size_or_scaled_from_another(
    database: Database, settings: Settings, sql: Sql
) -> None:
    sql.run(
        "INSERT INTO task_durations (task_type, model, size_class, median_seconds, samples) VALUES"
        " ('single-point-energy', 'sevennet_prod', 10, 3, 9),"
        " ('single-point-energy', 'sevennet_prod', 14, 50, 9)"
    )
    sql.slot_report(0)
    (running,) = await submit(database, settings, new_task(n_edges=1 << 10))
    sql.bind(running)
    async with database.begin() as session:
        waits = [
            accepted.estimated_wait_seconds
            for accepted in await QueueService(settings).submit(
                session, [new_task(n_edges=1 << size) for size in (14, 15, 9, 9)], request_id="req_1"
            )
        ]
    assert waits == pytest.approx([3, 53, 153, 154.5])


async def test_a_task_that_finds_an_idle_gpu_waits_for_nothing(
    database: Database, settings: Settings, sql: Sql
) -> None:
    sql.slot_report(0)
    async with database.begin() as session:
        first, second = await QueueService(settings).submit(session, [new_task()] * 2, request_id="req_1")
    assert first.estimated_wait_seconds == 0
    assert second.estimated_wait_seconds is None, "nothing like it was ever measured"
