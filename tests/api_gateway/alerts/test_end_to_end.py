"""Every rule from its condition over Prefect's automation to a receiver, and back."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from api_gateway.webhooks.sender import sign
from tests.api_gateway.alerts.world import Watched, wait_for

GPU = 1


def raise_gpu_lost(world: Watched) -> None:
    world.show(GPU, lost=True)


def raise_gpu_memory_low(world: Watched) -> None:
    world.show(GPU, memory_free_MB=1_200, memory_total_MB=24_000)


def raise_gpu_temperature_high(world: Watched) -> None:
    world.show(GPU, temperature_C=86)


def well(world: Watched) -> None:
    world.show(GPU)


def raise_queue_backlog(world: Watched) -> None:
    world.queue(101)


def empty_queue(world: Watched) -> None:
    world.sql.run("DELETE FROM tasks WHERE status = 'QUEUED'")


def raise_task_failures(world: Watched) -> None:
    for task_id in world.queue(6, model="mace_prod"):
        world.end(task_id, "FAILED")


def succeed(world: Watched) -> None:
    (task_id,) = world.queue(1, model="mace_prod")
    world.end(task_id, "COMPLETED")


def raise_disk_space_low(world: Watched) -> None:
    world.disk["free"] = 49.0


def free_disk(world: Watched) -> None:
    world.disk["free"] = 500.0


def raise_api_slow(world: Watched) -> None:
    """Requests that really take two seconds: their table is locked."""
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        url = world.gateway.settings.database.url.get_secret_value()
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE structures IN ACCESS EXCLUSIVE MODE")
            locked.set()
            release.wait(2.0)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    world.client.get("/structures")
    release.set()
    holder.join()


def wait_out_the_window(world: Watched) -> None:
    """Nothing to do: the slow request leaves the window by itself."""


def raise_worker_offline(world: Watched) -> None:
    world.hosts.silent.add(GPU)


def speak(world: Watched) -> None:
    world.hosts.silent.discard(GPU)


Act = Callable[[Watched], None]
RULES: dict[str, tuple[str, str, Act, Act]] = {
    "gpu_lost": ("CRITICAL", "GPU 1", raise_gpu_lost, well),
    "gpu_memory_low": ("WARNING", "GPU 1", raise_gpu_memory_low, well),
    "gpu_temperature_high": ("WARNING", "GPU 1", raise_gpu_temperature_high, well),
    "queue_backlog": ("WARNING", "queue", raise_queue_backlog, empty_queue),
    "task_failures": ("WARNING", "mace_prod", raise_task_failures, succeed),
    "disk_space_low": ("WARNING", "storage", raise_disk_space_low, free_disk),
    "api_slow": ("WARNING", "API", raise_api_slow, wait_out_the_window),
    "worker_offline": ("CRITICAL", "GPU host 1", raise_worker_offline, speak),
}


@pytest.mark.parametrize("kind", RULES)
def test_an_alert_fires_once_reaches_the_receiver_and_clears_by_itself(world: Watched, kind: str) -> None:
    level, subject, begin, end = RULES[kind]

    begin(world)
    raised = wait_for(lambda: world.told(kind), f"{kind} raised")[0]
    assert set(raised) == {"alert_id", "level", "type", "message", "details", "timestamp", "resolved"}
    assert (raised["level"], raised["resolved"]) == (level, False)

    end(world)
    wait_for(lambda: any(told["resolved"] for told in world.told(kind)), f"{kind} resolved")
    wait_for(lambda: not world.active(kind), f"{kind} no longer active")
    history = world.client.get("/system/alerts/history", params={"type": kind}).json()["data"]["items"]
    alert = next(one for one in history if one["alert_id"] == raised["alert_id"])
    assert (alert["subject"], alert["via"], alert["resolved"]) == (subject, "prefect", True)
    assert alert["resolved_at"] >= alert["raised_at"]
    wait_for(lambda: ends_told(world, raised) == [False, True], "one notification for each end")


def test_notifications_are_signed_and_written_to_the_alert_file(world: Watched) -> None:
    world.disk["free"] = 20.0
    seen = len(world.receiver.requests)
    wait_for(lambda: len(world.receiver.requests) > seen, "a notification")
    world.disk["free"] = 500.0
    headers, raw = world.receiver.requests[seen]
    expected = sign("alerts secret", headers["X-MOFSim-Timestamp"], raw.decode())
    assert headers["X-MOFSim-Signature"] == expected
    file = world.gateway.settings.log_dir / "alerts.jsonl"
    assert json.loads(raw) in [json.loads(line) for line in file.read_text().splitlines()]
    wait_for(lambda: not world.active("disk_space_low"), "the end")


def ends_told(world: Watched, alert: dict[str, Any]) -> list[bool]:
    """Whether each notification of an alert told of its end."""
    every = world.told(alert["type"])
    return [told["resolved"] for told in every if told["alert_id"] == alert["alert_id"]]


def test_a_value_that_hovers_around_the_threshold_is_one_alert(world: Watched) -> None:
    kind = "disk_space_low"
    world.disk["free"] = 49.0
    wait_for(lambda: world.active(kind), "the alert")
    (alert,) = world.active(kind)
    world.disk["free"] = 52.0
    seen_at = world.sql.row("SELECT clock_timestamp() AS now")["now"]
    looked = "SELECT count(*) AS n FROM gateway_processes WHERE reported_at > %s + interval '2 s'"
    wait_for(lambda: world.sql.row(looked, seen_at)["n"], "some looks")
    assert world.active(kind) == [alert]
    world.disk["free"] = 60.0
    wait_for(lambda: not world.active(kind), "the end")
    wait_for(lambda: ends_told(world, alert) == [False, True], "one notification for each end")


def test_a_rule_is_muted_by_pausing_its_automation_and_heard_again(world: Watched) -> None:
    kind = "gpu_temperature_high"
    before = len(world.told(kind))
    with paused(world, kind):
        rules = {
            rule["type"]: rule for rule in world.client.get("/system/alerts/rules").json()["data"]["items"]
        }
        assert rules[kind]["muted"] is True
        assert rules["gpu_lost"]["muted"] is False
        world.show(GPU, temperature_C=95)
        emitted(world, "mofsim.gpu.temperature-high", times=2)
        assert world.active(kind) == []
        assert len(world.told(kind)) == before
    wait_for(lambda: world.active(kind), "the alert once it is heard again")
    well(world)
    wait_for(lambda: not world.active(kind), "the end")


def emitted(world: Watched, event: str, times: int) -> None:
    """Wait until Prefect has taken an event so often since now."""
    api = world.gateway.settings.prefect.api_url
    since = world.sql.row("SELECT clock_timestamp() AS now")["now"].isoformat()
    asked = {"filter": {"event": {"name": [event]}, "occurred": {"since": since}}}

    def count() -> bool:
        return len(httpx.post(f"{api}/events/filter", json=asked).json()["events"]) >= times

    wait_for(count, f"{times} events {event}")


@contextlib.contextmanager
def paused(world: Watched, kind: str) -> Iterator[None]:
    """The automation of a rule, paused as an operator does it in the UI."""
    api = world.gateway.settings.prefect.api_url
    name = f"mofsim: {kind}"
    wanted = {"automations": {"name": {"any_": [name]}}}
    (found,) = httpx.post(f"{api}/automations/filter", json=wanted).json()
    address = f"{api}/automations/{found['id']}"
    httpx.patch(address, json={"enabled": False}).raise_for_status()
    yield
    httpx.patch(address, json={"enabled": True}).raise_for_status()
