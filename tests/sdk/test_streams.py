"""Event streams over connections that break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from mofsim_client import AsyncMOFSimClient, ConnectionFailedError, MOFSimClient, TaskNotFoundError

from tests.sdk.protocol_server import Exchange, serve

N_LINES = 30


def breaking_every(n_events: int) -> Callable[[Exchange], None]:
    """A server whose streams break in the middle of an event after every `n_events` of them."""

    def answer(exchange: Exchange) -> None:
        exchange.head(200, **{"Content-Type": "text/event-stream"})
        first = int(exchange.headers.get("Last-Event-ID", 0)) + 1
        for number in range(first, N_LINES + 1):
            if number == first + n_events:
                exchange.write(f"id: {number}\nevent: log\ndata: {{".encode())
                exchange.drop()
                return
            exchange.write(b": heartbeat\n\n")
            message = {"timestamp": "2026-01-01T00:00:00Z", "level": "INFO", "message": f"line {number}"}
            exchange.event(number, "log", message)
        exchange.event(N_LINES + 1, "end", {"status": "COMPLETED"})

    return answer


def test_a_log_is_read_once_and_whole_over_broken_connections() -> None:
    with serve(breaking_every(7)) as server, MOFSimClient(server.url, "key") as client:
        lines = [line.message for line in client.stream_logs("task_1")]
    assert lines == [f"line {n}" for n in range(1, N_LINES + 1)]
    asked_from = [exchange.headers.get("Last-Event-ID") for exchange in server.asked]
    assert asked_from == [None, "7", "14", "21", "28"]


def test_a_blocking_clients_stream_serves_async_for_too() -> None:
    async def read(client: MOFSimClient) -> list[str]:
        return [line.message async for line in client.stream_logs("task_1")]

    with serve(breaking_every(7)) as server, MOFSimClient(server.url, "key") as client:
        assert asyncio.run(read(client)) == [f"line {n}" for n in range(1, N_LINES + 1)]


def test_an_asynchronous_client_reads_the_same() -> None:
    async def read(url: str) -> list[str]:
        async with AsyncMOFSimClient(url, "key") as client:
            return [line.message async for line in client.stream_logs("task_1")]

    with serve(breaking_every(7)) as server:
        assert asyncio.run(read(server.url)) == [f"line {n}" for n in range(1, N_LINES + 1)]


def test_a_stream_left_early_continues_after_the_last_event_seen() -> None:
    with serve(breaking_every(100)) as server, MOFSimClient(server.url, "key") as client:
        for event in client.stream_events("task_1"):
            if event.data["message"] == "line 10":
                break
        rest = list(client.stream_events("task_1", last_event_id=event.id))
    assert rest[0].data["message"] == "line 11"
    assert [event.type for event in rest[-2:]] == ["log", "end"]


def test_a_stream_that_breaks_without_any_event_is_given_up() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.head(200, **{"Content-Type": "text/event-stream"})
        exchange.drop()

    with (
        serve(answer) as server,
        MOFSimClient(server.url, "key", max_retries=2) as client,
        pytest.raises(ConnectionFailedError, match="stream"),
    ):
        list(client.stream_logs("task_1"))
    assert len(server.asked) == 3


def test_a_refused_stream_raises_the_servers_error() -> None:
    with (
        serve(lambda exchange: exchange.refuse(404, 30003)) as server,
        MOFSimClient(server.url, "key") as client,
        pytest.raises(TaskNotFoundError),
    ):
        list(client.stream_logs("task_1"))
