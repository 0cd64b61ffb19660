"""What the client does when the network or the server stumbles."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from mofsim_client import (
    AsyncMOFSimClient,
    ConnectionFailedError,
    DatabaseUnavailableError,
    IncompatibleServerError,
    InvalidParameterError,
    MOFSimClient,
    RateLimitedError,
    TaskError,
)

from tests.sdk.protocol_server import Exchange, serve

ENDED = {"task_id": "task_1", "status": "COMPLETED", "task_type": "single-point-energy"}
ACCEPTED = {"task_id": "task_1", "status": "QUEUED", "position": 1, "estimated_wait_seconds": None}


def client_of(url: str, **more: object) -> MOFSimClient:
    return MOFSimClient(url, "key", **more)  # type: ignore[arg-type]


def test_a_submission_whose_answer_was_lost_is_repeated_with_the_same_key() -> None:
    def answer(exchange: Exchange) -> None:
        if len(server.asked) < 3:
            exchange.drop()
        else:
            exchange.ok(ACCEPTED, 202)

    with serve(answer) as server, client_of(server.url) as client:
        task = client.submit_optimization("MOF-5", "sevennet_prod")
    assert task.id == "task_1"
    assert len(server.asked) == 3
    assert len({exchange.headers["Idempotency-Key"] for exchange in server.asked}) == 1


def test_two_submissions_have_two_keys() -> None:
    with serve(lambda exchange: exchange.ok(ACCEPTED, 202)) as server, client_of(server.url) as client:
        client.submit_optimization("MOF-5", "sevennet_prod")
        client.submit_optimization("MOF-5", "sevennet_prod")
    first, second = (exchange.headers["Idempotency-Key"] for exchange in server.asked)
    assert first != second


def test_a_retry_that_could_double_a_task_is_not_repeated() -> None:
    with (
        serve(lambda exchange: exchange.drop()) as server,
        client_of(server.url) as client,
        pytest.raises(ConnectionFailedError),
    ):
        client.retry_task("task_1")
    assert len(server.asked) == 1


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks() -> None:
    def answer(exchange: Exchange) -> None:
        if len(server.asked) == 1:
            exchange.refuse(429, 40029, Retry_After="1")
        else:
            exchange.ok({"task_id": "task_1", "status": "QUEUED"})

    with serve(answer) as server, client_of(server.url) as client:
        started = time.monotonic()
        client.get_task("task_1")
    assert len(server.asked) == 2
    assert 1.0 <= time.monotonic() - started < 3.0


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    with (
        serve(lambda exchange: exchange.refuse(429, 40029, Retry_After="3600")) as server,
        client_of(server.url) as client,
        pytest.raises(RateLimitedError),
    ):
        client.get_task("task_1")
    assert len(server.asked) == 1


def test_an_unavailable_server_is_tried_again_and_then_reported() -> None:
    with (
        serve(lambda exchange: exchange.refuse(503, 10002)) as server,
        client_of(server.url, max_retries=2) as client,
        pytest.raises(DatabaseUnavailableError),
    ):
        client.get_task("task_1")
    assert len(server.asked) == 3


def test_an_error_carries_code_detail_field_and_request_id() -> None:
    with (
        serve(lambda exchange: exchange.refuse(422, 40002, "too small")) as server,
        client_of(server.url) as client,
        pytest.raises(InvalidParameterError, match=r"too small .*parameters\.fmax.*req_t") as caught,
    ):
        client.submit_optimization("MOF-5", "sevennet_prod", fmax=-1)
    error = caught.value
    assert (error.code, error.status, error.field, error.request_id, error.detail) == (
        40002,
        422,
        "parameters.fmax",
        "req_t",
        "too small",
    )


def test_a_code_newer_than_the_client_becomes_its_family() -> None:
    with (
        serve(lambda exchange: exchange.refuse(409, 50999)) as server,
        client_of(server.url) as client,
        pytest.raises(TaskError) as caught,
    ):
        client.get_task("task_1")
    assert caught.value.code == 50999


def test_an_absent_server_is_named_with_the_way_to_start_one() -> None:
    client = client_of("http://127.0.0.1:9", max_retries=0)
    with pytest.raises(ConnectionFailedError, match=r"http://127\.0\.0\.1:9 .*mofsim up.*MOFSIM_BASE_URL"):
        client.get_task("task_1")


def test_another_service_at_the_address_is_recognized() -> None:
    with (
        serve(lambda exchange: exchange.send(200, {"hello": "world"})) as server,
        client_of(server.url) as client,
        pytest.raises(IncompatibleServerError, match="Is this address a mofsim server"),
    ):
        client.get_task("task_1")


def test_an_answer_of_another_version_is_recognized() -> None:
    with (
        serve(lambda exchange: exchange.ok({"id": 7, "state": "ready"})) as server,
        client_of(server.url) as client,
        pytest.raises(IncompatibleServerError, match="different versions"),
    ):
        client.get_task("task_1")


def test_the_key_travels_in_a_header_only() -> None:
    with (
        serve(lambda exchange: exchange.ok({"task_id": "task_1", "status": "QUEUED"})) as server,
        client_of(server.url) as client,
    ):
        client.get_task("task_1")
        assert "key" not in repr(client.connection).replace("api_key", "")
    assert server.asked[0].headers["Authorization"] == "Bearer key"
    assert "key" not in server.asked[0].path


def test_a_wait_that_has_begun_outlasts_a_server_that_is_started_again() -> None:
    def answer(exchange: Exchange) -> None:
        looks = len(server.asked)
        if 2 < looks < 5:
            exchange.drop()
        else:
            exchange.ok({"task_id": "task_1", "status": "RUNNING" if looks < 6 else "CANCELLED"})

    with serve(answer) as server, client_of(server.url, max_retries=0) as client:
        task = client.get_task("task_1")
        with pytest.raises(TaskError):
            task.wait()
    assert len(server.asked) == 6


def test_a_stream_outlasts_a_server_that_is_started_again() -> None:
    def answer(exchange: Exchange) -> None:
        looks = len(server.asked)
        if 1 < looks < 4:
            exchange.drop()
            return
        exchange.head(200, **{"Content-Type": "text/event-stream"})
        exchange.event(looks, "status", {"status": "RUNNING"} if looks == 1 else {"status": "COMPLETED"})
        if looks == 1:
            exchange.drop()
        else:
            exchange.event(looks + 1, "end", {})

    with serve(answer) as server, client_of(server.url, max_retries=1) as client:
        events = list(client.stream_events("task_1"))
    assert [event.id for event in events] == ["1", "4", "5"]


def test_a_wait_for_a_server_that_never_answered_ends_soon() -> None:
    with serve(lambda exchange: exchange.ok({"task_id": "task_1", "status": "RUNNING"})) as server:
        client = client_of(server.url, max_retries=0)
        task = client.get_task("task_1")
    with pytest.raises(ConnectionFailedError):
        task.wait()


def test_a_wait_for_many_outlasts_broken_connections() -> None:
    def answer(exchange: Exchange) -> None:
        if len(server.asked) % 2:
            exchange.drop()
        elif exchange.path.endswith("/result"):
            exchange.ok({**ENDED, "result": {"converged": True, "energy_eV": -1.0, "energy_per_atom_eV": -0.5,
                                             "n_atoms": 2}})  # fmt: skip
        else:
            exchange.ok(ENDED)

    with serve(answer) as server, client_of(server.url) as client:
        tasks = [client.get_task("task_1")]
        assert [result.energy_eV for result in client.wait_all(tasks)] == [-1.0]
        assert [task.id for task in client.as_completed([client.get_task("task_1")])] == ["task_1"]


def test_an_answer_that_is_no_stream_is_recognized_at_once() -> None:
    with (
        serve(lambda exchange: exchange.ok({"task_id": "task_1", "status": "QUEUED"})) as server,
        client_of(server.url) as client,
        pytest.raises(IncompatibleServerError, match="no event stream"),
    ):
        list(client.stream_logs("task_1"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asynchronous"])
def test_an_upload_is_sent_whole_and_tells_how_far_it_is(tmp_path: Path, asynchronous: bool) -> None:
    path = tmp_path / "large.cif"
    path.write_bytes(bytes(range(256)) * 4000)
    seen: list[tuple[int, int]] = []

    async def upload(url: str) -> None:
        async with AsyncMOFSimClient(url, "key") as client:
            await client.upload_structure(path, on_progress=lambda *at: seen.append(at))

    def answer(exchange: Exchange) -> None:
        if len(server.asked) == 1:
            exchange.drop()
        else:
            exchange.ok({"file_id": "struct_1", "name": "large"}, 201)

    with serve(answer) as server, client_of(server.url) as client:
        if asynchronous:
            asyncio.run(upload(server.url))
        else:
            client.upload_structure(path, on_progress=lambda *at: seen.append(at))
    assert path.read_bytes() in server.asked[1].body
    assert seen[-1] == (1_024_000, 1_024_000)
    again = len(seen) - next(place for place in range(len(seen) - 1, 0, -1) if seen[place] < seen[place - 1])
    assert [sent for sent, _ in seen[-again:]] == sorted(sent for sent, _ in seen[-again:])
    assert again > 10
