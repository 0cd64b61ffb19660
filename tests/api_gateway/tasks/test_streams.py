from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from api_gateway.tasks import streams
from tests.api_gateway.rest import data_of, error_of, submit
from tests.api_gateway.tasks.test_tasks import complete, run
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway


def line(message: str, level: str = "INFO") -> dict[str, Any]:
    return {
        "timestamp": "2026-01-30T10:00:00.123Z", "level": level, "logger": "task.optimization",
        "message": message, "gpu_id": 0, "extra": {"step": 1},
    }  # fmt: skip


def step(number: int) -> dict[str, Any]:
    return {
        "stage": "optimize", "current_step": number, "total_steps": 10, "percentage": 10.0 * number,
        "values": {"energy_eV": -1.0},
    }  # fmt: skip


@pytest.fixture
def running(client: httpx.Client, sql: Sql) -> str:
    task_id = submit(client)
    run(sql, task_id)
    return task_id


@pytest.fixture
def ended(running: str, sql: Sql) -> str:
    sql.call("attempt_report", running, 1, step(1), [line("one"), line("detail", "DEBUG")])
    sql.call("attempt_report", running, 1, step(2), [line("two", "WARNING")])
    complete(sql, running)
    return running


def follow(
    client: httpx.Client, path: str, last: str | None = None, **params: str
) -> Iterator[ServerSentEvent]:
    headers = {"Last-Event-ID": last} if last else {}
    with connect_sse(client, "GET", path, headers=headers, params=params) as source:
        source.response.raise_for_status()
        yield from source.iter_sse()


def test_the_log_is_read_oldest_line_first(client: httpx.Client, ended: str) -> None:
    items = data_of(client.get(f"/tasks/{ended}/logs"))["items"]
    assert [item["message"] for item in items] == ["one", "detail", "two"]
    assert items[0] | {"id": 0} == {
        "id": 0, "timestamp": "2026-01-30T10:00:00.123Z", "level": "INFO", "logger": "task.optimization",
        "message": "one", "task_id": ended, "attempt": 1, "gpu_id": 0, "extra": {"step": 1},
    }  # fmt: skip


def test_the_log_is_filtered_by_level_and_time_and_paged(client: httpx.Client, ended: str) -> None:
    def messages(**params: Any) -> list[str]:
        items = data_of(client.get(f"/tasks/{ended}/logs", params=params))["items"]
        return [item["message"] for item in items]

    assert messages(level="INFO") == ["one", "two"]
    assert messages(level="WARNING") == ["two"]
    assert messages(since="2026-01-30T10:00:01Z") == []
    first = data_of(client.get(f"/tasks/{ended}/logs", params={"limit": 2}))
    assert [item["message"] for item in first["items"]] == ["one", "detail"]
    assert messages(cursor=first["next_cursor"]) == ["two"]
    error_of(client.get(f"/tasks/{ended}/logs", params={"level": "LOUD"}), 422, 40002)


def test_an_ended_task_streams_everything_and_ends(client: httpx.Client, ended: str) -> None:
    events = list(follow(client, f"/tasks/{ended}/events"))
    kinds = [event.event for event in events]
    assert kinds.count("log") == 3
    assert [event.json()["status"] for event in events if event.event == "status"] == [
        "QUEUED", "ASSIGNED", "RUNNING", "COMPLETED",
    ]  # fmt: skip
    assert kinds[-1] == "end"
    assert events[-1].json() == {"task_id": ended, "status": "COMPLETED"}
    numbers = [int(event.id) for event in events[:-1]]
    assert numbers == sorted(set(numbers))
    (progress,) = [event.json() for event in events if event.event == "progress"]
    assert (progress["current_step"], progress["percentage"], progress["task_id"]) == (2, 20.0, ended)


def test_a_stream_resumes_after_any_event_without_loss_or_repeats(client: httpx.Client, ended: str) -> None:
    whole = list(follow(client, f"/tasks/{ended}/events"))
    for position in range(len(whole) - 1):
        rest = list(follow(client, f"/tasks/{ended}/events", last=whole[position].id))
        assert [(event.id, event.event) for event in rest] == [
            (event.id, event.event) for event in whole[position + 1 :]
        ]


def test_the_three_addresses_stream_the_same(client: httpx.Client, ended: str) -> None:
    whole = [event.data for event in follow(client, f"/tasks/{ended}/events")]
    assert [event.data for event in follow(client, f"/tasks/{ended}/logs/stream")] == whole
    # connect_sse asks with `Accept: text/event-stream`.
    assert [event.data for event in follow(client, f"/tasks/{ended}/logs", level="DEBUG")] == whole
    loud = list(follow(client, f"/tasks/{ended}/logs/stream", level="WARNING"))
    assert [event.json()["message"] for event in loud if event.event == "log"] == ["two"]


def test_a_live_stream_tells_within_a_moment(client: httpx.Client, gateway: Gateway, running: str) -> None:
    seen: list[tuple[float, ServerSentEvent]] = []

    def watch() -> None:
        with gateway.client() as own:
            for event in follow(own, f"/tasks/{running}/events"):
                seen.append((time.monotonic(), event))

    thread = threading.Thread(target=watch)
    thread.start()
    deadline = time.monotonic() + 20
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    sql = gateway.sql
    reported = time.monotonic()
    sql.call("attempt_report", running, 1, step(3), [line("live")])
    while not any(event.event == "log" for _, event in seen) and time.monotonic() < deadline:
        time.sleep(0.01)
    complete(sql, running)
    sql.connection.close()
    thread.join(20)
    logged = next(at for at, event in seen if event.event == "log")
    # Far below the heartbeat, so it was the notification that woke the stream.
    assert logged - reported < streams.HEARTBEAT_SECONDS / 3
    assert [event.event for _, event in seen][-2:] == ["status", "end"]


def test_a_silent_stream_beats(gateway: Gateway, running: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.2)
    with gateway.client() as client, client.stream("GET", f"/tasks/{running}/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert next(text for text in response.iter_lines() if text.startswith(":")) == ": heartbeat"


def test_a_foreign_last_event_id_starts_at_the_beginning(client: httpx.Client, ended: str) -> None:
    first = next(follow(client, f"/tasks/{ended}/events", last="not-a-number"))
    assert first.json()["status"] == "QUEUED"
