"""A gateway that watches simulated GPUs, with a real Prefect server and a receiver of notifications."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import httpx
from prefect.client.orchestration import PrefectClient
from prefect.settings import PREFECT_API_URL, temporary_settings

from api_gateway.auth.credentials import Scope
from deployments.automations import ensure_automations
from deployments.hosts.sensors import SimulatedSensor
from mof_benchmark.identifiers import new_id
from mofsim_settings import Settings
from tests.api_gateway.tasks_for_tests import Sql, slot_document
from tests.api_gateway.webhooks.receiver import Receiver
from tests.fixtures.gateway import Gateway, serve

PATIENCE_SECONDS = 180.0
"""A limit for what takes a second or two: only a hang, not a busy machine, fails a test."""


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)
    return answer


@dataclass
class Hosts:
    """Plays the hosts of simulated GPUs and the pool worker: reports what the sensors show."""

    settings: Settings
    sql: Sql
    silent: set[int] = field(default_factory=set)
    """GPUs whose host says nothing."""
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        thread = threading.Thread(target=self._report, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(20)

    def _report(self) -> None:
        sensors = {
            gpu: SimulatedSensor(partial(self.sql.call, "slot_simulation", gpu), gpu)
            for gpu in range(self.settings.compute.slots)
        }
        while not self._ended.wait(0.3):
            for gpu, sensor in sensors.items():
                if gpu not in self.silent:
                    reading = vars(sensor.read())
                    self.sql.call("slot_report", gpu, "boot-1", slot_document(**reading))
            self.sql.call("worker_heartbeat", "test", 4242)


@dataclass
class Watched:
    """Everything a test of alerts looks at and sets."""

    gateway: Gateway
    hosts: Hosts
    receiver: Receiver
    sql: Sql
    disk: dict[str, float]

    @property
    def client(self) -> httpx.Client:
        return self.gateway.client()

    def show(self, gpu_id: int, **simulation: Any) -> None:
        """Set what the sensor of a GPU shows."""
        answer = self.client.put(f"/system/gpus/{gpu_id}/simulation", json=simulation)
        assert answer.status_code == 200, answer.text

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Notifications of a rule so far, those inside summaries included."""
        found: list[dict[str, Any]] = []
        for _, raw in list(self.receiver.requests):
            document = json.loads(raw)
            inside = document["details"]["alerts"] if document["type"] == "summary" else [document]
            found += [one for one in inside if one["type"] == kind]
        return found

    def active(self, kind: str) -> list[dict[str, Any]]:
        found = self.client.get("/system/alerts/active", params={"page_size": 100}).json()["data"]["items"]
        return [alert for alert in found if alert["type"] == kind]

    def queue(self, count: int, *, model: str = "sevennet_prod") -> list[str]:
        """Put tasks into the queue that placement leaves alone."""
        ids = [new_id("task") for _ in range(count)]
        for task_id in ids:
            self.sql.run(
                "INSERT INTO tasks (id, task_type, model, structure_id, structure, parameters, priority,"
                " timeout_seconds, request_id, status, not_before) VALUES (%s, 'single-point-energy', %s,"
                " 'struct_x', '{}', '{}', 2, 3600, 'req_test', 'QUEUED', now() + interval '1 day')",
                task_id,
                model,
            )
        return ids

    def end(self, task_id: str, status: str) -> None:
        self.sql.run("UPDATE tasks SET status = 'ASSIGNED', gpu_id = 0 WHERE id = %s", task_id)
        self.sql.run("UPDATE tasks SET status = 'RUNNING' WHERE id = %s", task_id)
        self.sql.run("UPDATE tasks SET status = %s WHERE id = %s", status, task_id)


@contextlib.contextmanager
def watched(settings: Settings, receiver: Receiver) -> Iterator[Watched]:
    """Serve a gateway with settings and set Prefect up for it."""
    disk = {"free": 500.0}
    sql = Sql.connect(settings.database.url.get_secret_value())
    hosts = Hosts(settings, Sql.connect(settings.database.url.get_secret_value()))
    with hosts.reporting(), serve(settings, disk_free=lambda _: disk["free"]) as url:
        gateway = Gateway(url, settings, {})
        gateway.keys["all"] = gateway.make_key(*Scope)
        anyio.run(set_up, settings, url)
        yield Watched(gateway, hosts, receiver, sql, disk)
    sql.connection.close()
    hosts.sql.connection.close()


async def set_up(settings: Settings, gateway_url: str) -> None:
    """What the stack's set-up does for alerts, with the sink where this gateway listens."""
    sink = {"sink_url": f"{gateway_url}/api/v1/system/alerts/sink"}
    reachable = settings.model_copy(update={"alerts": settings.alerts.model_copy(update=sink)})
    with temporary_settings({PREFECT_API_URL: settings.prefect.api_url}):
        async with PrefectClient(settings.prefect.api_url) as client:
            await ensure_automations(reachable, client)
