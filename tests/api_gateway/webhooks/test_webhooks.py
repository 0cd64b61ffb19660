from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api_gateway.rest import data_of, error_of, submit
from tests.api_gateway.tasks.test_tasks import complete, fail, run
from tests.api_gateway.tasks_for_tests import Sql
from tests.api_gateway.webhooks.receiver import Receiver, receiving
from tests.fixtures.gateway import Gateway, serve

SECRET = "a shared secret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


def submit_with_hook(client: httpx.Client, receiver: Receiver, **options: Any) -> str:
    notify = {"notify_url": receiver.url, "notify_secret": SECRET, "retry_interval_seconds": 0.1}
    return submit(client, options=notify | options)


def deliveries(client: httpx.Client, task_id: str, until: str | None = None) -> list[dict[str, Any]]:
    """The task's deliveries; waits until all have the status `until`."""
    deadline = time.monotonic() + 20
    while True:
        found: list[dict[str, Any]] = data_of(client.get(f"/tasks/{task_id}/webhooks"))["items"]
        if until is None or (found and all(delivery["status"] == until for delivery in found)):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_the_end_of_a_task_is_told_and_signed(client: httpx.Client, sql: Sql, receiver: Receiver) -> None:
    task_id = submit_with_hook(client, receiver)
    run(sql, task_id)
    complete(sql, task_id)
    ((headers, raw),) = receiver.wait_for(1)
    body = json.loads(raw)
    assert (body["event"], body["task_id"], body["status"]) == ("task.completed", task_id, "COMPLETED")
    assert body["result_url"] == f"/api/v1/tasks/{task_id}/result"
    assert (body["summary"]["converged"], body["summary"]["final_energy_eV"]) == (True, -1.5)
    assert body["summary"]["duration_seconds"] >= 0
    assert headers["X-MOFSim-Event"] == "task.completed"
    timestamp = headers["X-MOFSim-Timestamp"]
    assert abs(time.time() - int(timestamp)) < 60
    expected = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + raw, hashlib.sha256).hexdigest()
    assert headers["X-MOFSim-Signature"] == f"sha256={expected}"
    assert headers["Host"] == receiver.url.split("/")[2]


def test_events_arrive_in_their_order(client: httpx.Client, sql: Sql, receiver: Receiver) -> None:
    events = ["task.started", "task.progress", "task.failed"]
    task_id = submit_with_hook(client, receiver, notify_events=events)
    run(sql, task_id)
    progress = {"stage": "s", "current_step": 1, "total_steps": 4, "percentage": 25.0, "values": {}}
    sql.call("attempt_report", task_id, 1, progress, [])
    fail(sql, task_id)
    told = [json.loads(raw) for _, raw in receiver.wait_for(3)]
    assert [body["event"] for body in told] == events
    assert told[1]["progress"]["percentage"] == 25.0
    assert told[2]["error"]["code"] == 50007


def test_progress_is_told_at_most_every_five_percent(
    client: httpx.Client, sql: Sql, receiver: Receiver
) -> None:
    task_id = submit_with_hook(client, receiver, notify_events=["task.progress", "task.completed"])
    run(sql, task_id)
    for number in range(1, 30):
        progress = {"stage": "s", "current_step": number, "total_steps": 1000, "percentage": number / 10}
        sql.call("attempt_report", task_id, 1, progress, [])
    complete(sql, task_id)
    deliveries(client, task_id, until="delivered")
    events = [json.loads(raw)["event"] for _, raw in receiver.requests]
    assert events.count("task.progress") <= 1
    assert events[-1] == "task.completed"


def test_a_refused_webhook_is_retried_with_doubling_waits_under_one_identifier(
    client: httpx.Client, sql: Sql, receiver: Receiver
) -> None:
    receiver.answers = [500, 404, 200]
    task_id = submit_with_hook(client, receiver, retry_interval_seconds=0.3)
    client.post(f"/tasks/{task_id}/cancel")
    requests = receiver.wait_for(3)
    assert len({headers["X-MOFSim-Delivery"] for headers, _ in requests}) == 1
    assert len({raw for _, raw in requests}) == 1
    (delivery,) = deliveries(client, task_id, until="delivered")
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500, 404, 200]
    assert all(attempt["latency_ms"] > 0 for attempt in delivery["attempts"])
    times = [
        row["at"]
        for row in sql.rows(
            "SELECT at FROM webhook_attempts WHERE delivery_id = %s ORDER BY number", delivery["delivery_id"]
        )
    ]
    assert (times[1] - times[0]).total_seconds() >= 0.29
    assert (times[2] - times[1]).total_seconds() >= 0.59


def test_a_webhook_is_given_up_after_its_retries_and_can_be_sent_again(
    client: httpx.Client, sql: Sql, receiver: Receiver
) -> None:
    receiver.answers = [503, 503]
    task_id = submit_with_hook(client, receiver, retry_times=1)
    client.post(f"/tasks/{task_id}/cancel")
    (delivery,) = deliveries(client, task_id, until="failed")
    assert len(delivery["attempts"]) == 2
    assert delivery["next_attempt_at"] is None
    path = f"/tasks/{task_id}/webhooks/{delivery['delivery_id']}/redeliver"
    assert data_of(client.post(path), 202)["status"] == "pending"
    (again,) = deliveries(client, task_id, until="delivered")
    assert again["delivery_id"] == delivery["delivery_id"]
    assert [attempt["status_code"] for attempt in again["attempts"]] == [503, 503, 200]
    assert len({headers["X-MOFSim-Delivery"] for headers, _ in receiver.requests}) == 1


def test_a_redirect_is_not_followed(client: httpx.Client, sql: Sql, receiver: Receiver) -> None:
    receiver.answers = [302]
    task_id = submit_with_hook(client, receiver, retry_times=0)
    client.post(f"/tasks/{task_id}/cancel")
    (delivery,) = deliveries(client, task_id, until="failed")
    assert delivery["attempts"][0]["status_code"] == 302
    assert len(receiver.requests) == 1


def test_nobody_listening_is_a_failed_try(client: httpx.Client, receiver: Receiver) -> None:
    task_id = submit(client, options={"notify_url": "http://localhost:9/", "retry_times": 0})
    client.post(f"/tasks/{task_id}/cancel")
    (delivery,) = deliveries(client, task_id, until="failed")
    assert delivery["attempts"][0]["status_code"] is None
    assert "ConnectError" in delivery["attempts"][0]["error"]


def test_an_address_that_became_private_is_not_reached(
    client: httpx.Client, sql: Sql, receiver: Receiver
) -> None:
    task_id = submit_with_hook(client, receiver, retry_times=0)
    # As if the name had come to mean another address since the submission.
    private = receiver.url.replace("localhost", "127.0.0.1")
    sql.run("UPDATE tasks SET notify_url = %s WHERE id = %s", private, task_id)
    client.post(f"/tasks/{task_id}/cancel")
    (delivery,) = deliveries(client, task_id, until="failed")
    assert "not a public address" in delivery["attempts"][0]["error"]
    assert receiver.requests == []


def test_the_history_does_not_show_the_query_of_the_address(client: httpx.Client, receiver: Receiver) -> None:
    task_id = submit_with_hook(client, receiver)
    client.post(f"/tasks/{task_id}/cancel")
    (delivery,) = deliveries(client, task_id)
    assert delivery["url"] == receiver.url.partition("?")[0]


def test_two_gateways_send_each_webhook_once(
    client: httpx.Client, gateway: Gateway, receiver: Receiver
) -> None:
    with serve(gateway.settings):
        tasks = [submit_with_hook(client, receiver) for _ in range(12)]
        for task_id in tasks:
            client.post(f"/tasks/{task_id}/cancel")
        for task_id in tasks:
            deliveries(client, task_id, until="delivered")
    told = [json.loads(raw)["task_id"] for _, raw in receiver.requests]
    assert sorted(told) == sorted(tasks)


def test_a_delivery_claimed_by_a_gateway_that_died_is_sent_by_another(
    client: httpx.Client, sql: Sql, receiver: Receiver
) -> None:
    receiver.answers = [500]
    task_id = submit_with_hook(client, receiver, retry_interval_seconds=3600)
    client.post(f"/tasks/{task_id}/cancel")
    while not (deliveries(client, task_id) and deliveries(client, task_id)[0]["attempts"]):
        time.sleep(0.05)
    # The lease of the dead gateway has run out.
    sql.run("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE task_id = %s", task_id)
    sql.run("SELECT pg_notify('mofsim_webhook', '')")
    deliveries(client, task_id, until="delivered")


def test_another_task_s_delivery_is_not_found(client: httpx.Client, receiver: Receiver) -> None:
    task_id, other = submit_with_hook(client, receiver), submit(client)
    client.post(f"/tasks/{task_id}/cancel")
    (delivery,) = deliveries(client, task_id)
    path = f"/tasks/{other}/webhooks/{delivery['delivery_id']}/redeliver"
    error_of(client.post(path), 404, 30003)
