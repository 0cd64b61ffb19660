from __future__ import annotations

import collections
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx

import api_gateway
from tests.api_gateway.rest import data_of, submit
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway, running_gateway

ROOT = Path(__file__).parents[3]


def test_health_is_degraded_not_dead_while_prefect_is_away(client: httpx.Client) -> None:
    response = client.get("/health")
    body = response.json()
    assert (response.status_code, body["success"], body["status"]) == (200, True, "degraded")
    components = body["data"]["components"]
    assert components["database"]["state"] == "ok"
    assert components["database"]["latency_ms"] > 0
    assert components["prefect"]["state"] == "down"
    assert set(components) == {"database", "prefect", "dask", "worker", "slots", "storage"}
    assert components["dask"]["state"] == components["worker"]["state"] == "down"
    assert components["storage"]["latency_ms"] > 0
    assert body["data"]["version"] == api_gateway.__version__


def test_a_slot_that_reports_is_healthy(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0)
    assert client.get("/health").json()["data"]["components"]["slots"]["state"] == "ok"


def test_a_pool_worker_that_says_it_lives_is_healthy_until_it_leaves(client: httpx.Client, sql: Sql) -> None:
    def worker() -> str:
        return str(client.get("/health").json()["data"]["components"]["worker"]["state"])

    sql.call("worker_heartbeat", "here", 42)
    assert worker() == "ok"
    # Of an earlier process on the same machine: that one is not gone.
    sql.call("worker_left", "here", 41)
    assert worker() == "ok"
    sql.call("worker_left", "here", 42)
    assert worker() == "down"


def test_without_a_database_the_gateway_says_so_and_lives() -> None:
    with running_gateway("postgresql://nobody@127.0.0.1:9/none", keys=False) as gateway:
        client = gateway.client(None)
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["code"]) == (503, 10002)
        refused = client.get("/tasks", headers={"X-API-Key": "mofsim_0123456789abcdef_x"})
        assert (refused.status_code, refused.json()["code"]) == (503, 10002)
        assert refused.headers["Retry-After"]


def test_gpus_are_shown_as_their_hosts_report_them(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0, warm_models=["sevennet_prod"], temperature_C=61)
    sql.slot_report(1, current={"task_id": "task_x", "attempt": 2})
    sql.slot_report(2, ok=False, error="ECC error")
    idle, busy, sick = data_of(client.get("/system/gpus"))["items"]
    assert (idle["state"], idle["temperature_C"], idle["warm_models"]) == ("idle", 61, ["sevennet_prod"])
    assert (busy["state"], busy["current"]) == ("busy", {"task_id": "task_x", "attempt": 2})
    assert (sick["state"], sick["error"]) == ("unhealthy", "ECC error")
    sql.run("UPDATE gpu_slots SET reported_at = now() - interval '1 day' WHERE gpu_id = 0")
    assert data_of(client.get("/system/gpus"))["items"][0]["state"] == "lost"


def test_the_queue_is_counted(client: httpx.Client) -> None:
    before = data_of(client.get("/system/queue"))
    submit(client, options={"priority": "HIGH"})
    after = data_of(client.get("/system/queue"))
    assert after["counts"]["QUEUED"] == before["counts"]["QUEUED"] + 1
    assert after["queued_by_priority"]["HIGH"] == before["queued_by_priority"]["HIGH"] + 1
    assert after["oldest_queued_at"]


def test_the_configuration_shows_no_secret(client: httpx.Client, gateway: Gateway) -> None:
    shown = data_of(client.get("/system/config"))["settings"]
    assert shown["gateway"]["max_batch_tasks"] == 1000
    assert gateway.settings.database.url.get_secret_value() not in json.dumps(shown)


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert api_gateway.__version__ == project["version"]


def test_the_gateway_imports_no_torch() -> None:
    code = "import sys, api_gateway.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_gateway_as_a_process_streams_its_log_and_stops_at_once_with_streams_open(
    gateway: Gateway,
) -> None:
    with gateway_process(gateway) as (process, client):
        task_id = submit(client)
        with (
            client.stream("GET", "/system/logs/stream") as log,
            client.stream("GET", f"/tasks/{task_id}/events") as events,
        ):
            states = (text for text in events.iter_lines() if text.startswith("data: "))
            assert "QUEUED" in next(states)
            lines = (json.loads(text[6:]) for text in log.iter_lines() if text.startswith("data: "))
            line = next(
                line for line in lines if line["extra"].get("path", "").endswith("single-point-energy")
            )
            assert (line["logger"], line["level"], line["extra"]["status"]) == ("access", "INFO", 202)
            assert line["request_id"].startswith("req_")
            client.get("/health/live").raise_for_status()
            client.get("/models").raise_for_status()
            after_the_probe = next(line for line in lines if line["logger"] == "access")
            assert after_the_probe["extra"]["path"].endswith("/models")
            process.terminate()
            # Both streams end cleanly: a cut connection would raise here.
            for stream in (states, lines):
                collections.deque(stream, maxlen=0)
        assert process.wait(30) == -signal.SIGTERM


@contextlib.contextmanager
def gateway_process(gateway: Gateway) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`python -m api_gateway` on a home of its own, reached with the admin key it made."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="mofsim-process-"))
    environment = {
        "MOFSIM_DATABASE__URL": gateway.settings.database.url.get_secret_value(),
        "MOFSIM_PREFECT__API_URL": gateway.settings.prefect.api_url,
        "MOFSIM_GATEWAY__PORT": str(port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api_gateway", "--home", str(home)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    base_url = f"http://127.0.0.1:{port}/api/v1"
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                httpx.get(f"{base_url}/health/live").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
        key = (home / "admin.key").read_text().strip()
        with httpx.Client(base_url=base_url, headers={"X-API-Key": key}, timeout=60) as client:
            yield process, client
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(home, ignore_errors=True)
