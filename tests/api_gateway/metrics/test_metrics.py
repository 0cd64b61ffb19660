"""`/metrics`, and what Prometheus and Grafana make of it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api_gateway.rest import submit
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway, running_gateway

INFRA = Path(__file__).parents[3] / "infra"
DASHBOARDS = sorted((INFRA / "grafana" / "dashboards").glob("*.json"))
PATIENCE_SECONDS = 120.0

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(gateway: Gateway) -> Samples:
    answer = httpx.get(f"{gateway.url}/metrics", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Sum of a metric over the labels that are not named."""
    wanted = frozenset(labels.items())
    return sum(number for (found, has), number in samples.items() if found == name and wanted <= has)


def timed(samples: Samples) -> float:
    return value(samples, "mofsim_task_run_seconds_count", task_type="single-point-energy")


def scrape_until(gateway: Gateway, true: Callable[[Samples], bool]) -> Samples:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true(samples := scrape(gateway)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return samples


def test_tasks_queue_and_times_are_counted(gateway: Gateway, client: httpx.Client, sql: Sql) -> None:
    before = scrape(gateway)
    task_id = submit(client, options={"priority": "HIGH"})
    waiting = scrape(gateway)
    assert value(waiting, "mofsim_queue_tasks", priority="HIGH") == (
        value(before, "mofsim_queue_tasks", priority="HIGH") + 1
    )
    sql.bind(task_id)
    sql.start(task_id)
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)
    after = scrape_until(gateway, lambda now: timed(now) > timed(before))
    assert timed(after) == timed(before) + 1
    waited = [value(now, "mofsim_task_wait_seconds_count", priority="HIGH") for now in (before, after)]
    assert waited[1] == waited[0] + 1
    sql.run("SELECT pg_sleep(6)")  # another look of the gateway's
    assert timed(scrape(gateway)) == timed(after)
    assert value(after, "mofsim_tasks", status="COMPLETED", task_type="single-point-energy") >= 1


def test_gpus_are_shown_as_their_hosts_report_them(gateway: Gateway, sql: Sql) -> None:
    sql.slot_report(0, memory_free_MB=12_000, temperature_C=66, warm_models=["sevennet_prod"])
    sql.slot_report(1, ok=False, error="lost")
    samples = scrape(gateway)
    assert value(samples, "mofsim_gpu_memory_free_bytes", gpu="0") == 12e9
    assert value(samples, "mofsim_gpu_temperature_celsius", gpu="0") == 66
    assert value(samples, "mofsim_gpu_warm_model", gpu="0", model="sevennet_prod") == 1
    assert (value(samples, "mofsim_gpu_up", gpu="0"), value(samples, "mofsim_gpu_up", gpu="1")) == (1, 0)


def test_requests_are_timed_by_route_not_by_path(gateway: Gateway, client: httpx.Client) -> None:
    route = "/tasks/{task_id}"
    labels = {"route": route, "status": "404", "method": "GET"}
    before = value(scrape(gateway), "mofsim_api_request_seconds_count", **labels)
    client.get("/tasks/task_nobody")
    assert value(scrape(gateway), "mofsim_api_request_seconds_count", **labels) == before + 1


def test_closed_metrics_need_a_key_that_may_read(database_url: str) -> None:
    with running_gateway(database_url, metrics_public=False) as closed:
        assert httpx.get(f"{closed.url}/metrics").status_code == 401
        answer = httpx.get(f"{closed.url}/metrics", headers={"X-API-Key": closed.keys["read"]})
        assert answer.status_code == 200


def test_without_a_database_the_process_s_own_metrics_are_served() -> None:
    with running_gateway("postgresql://nobody@127.0.0.1:9/none", keys=False) as alone:
        samples = scrape(alone)
    assert value(samples, "mofsim_database_up") == 0
    assert not any(name == "mofsim_tasks" for name, _ in samples)


def families(gateway: Gateway, client: httpx.Client, sql: Sql) -> set[str]:
    """Names that queries may use."""
    sql.slot_report(0, warm_models=["sevennet_prod"])
    submit(client)
    names: set[str] = set()
    for family in text_string_to_metric_families(httpx.get(f"{gateway.url}/metrics").text):
        endings = {
            "histogram": ("_bucket", "_count", "_sum"),
            "counter": ("_total",),
        }.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return names


def expressions() -> Iterator[tuple[str, str]]:
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            yield from ((f"{file.name}: {panel['title']}", target["expr"]) for target in panel["targets"])
    for group in yaml.safe_load((INFRA / "prometheus" / "rules.yml").read_text())["groups"]:
        yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in group["rules"])


def test_every_query_of_dashboards_and_rules_names_metrics_that_exist(
    gateway: Gateway, client: httpx.Client, sql: Sql
) -> None:
    known = families(gateway, client, sql)
    asked = list(expressions())
    assert len(asked) > 30
    unknown = {
        f"{where}: {name}"
        for where, expression in asked
        for name in re.findall(r"\bmofsim_\w+", expression)
        if name not in known
    }
    assert unknown == set()


def test_dashboards_have_the_shape_that_grafana_imports() -> None:
    assert len(DASHBOARDS) >= 3
    documents = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert len({document["uid"] for document in documents}) == len(documents)
    for document in documents:
        assert document["schemaVersion"] >= 36
        assert document["templating"]["list"][0]["type"] == "datasource"
        places: set[tuple[int, int]] = set()
        for panel in document["panels"]:
            grid = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(grid["x"], grid["x"] + grid["w"])
                for y in range(grid["y"], grid["y"] + grid["h"])
            }
            assert not cells & places, f"{panel['title']} lies over another panel"
            assert max(x for x, _ in cells) < 24
            places |= cells
            assert panel["targets"], panel["title"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (apt: prometheus) is not installed")
def test_promtool_accepts_configuration_and_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", str(INFRA / "prometheus" / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus (apt) is not installed")
def test_a_real_prometheus_scrapes_and_evaluates_the_rules(
    gateway: Gateway, sql: Sql, tmp_path: Path
) -> None:
    sql.slot_report(0, temperature_C=55)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(INFRA / "prometheus" / "rules.yml")]
    target = gateway.url.removeprefix("http://")
    (tmp_path / "targets.yml").write_text(yaml.safe_dump([{"targets": [target]}]))
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        hot = ask_prometheus(port, 'mofsim_gpu_temperature_celsius{gpu="0"}')
        assert float(hot[0]["value"][1]) == 55
        assert ask_prometheus(port, "mofsim:queue_tasks")
        url = f"http://127.0.0.1:{port}/api/v1/query"
        for _, expression in expressions():
            answer = httpx.get(url, params={"query": expression}, timeout=PATIENCE_SECONDS)
            assert answer.json()["status"] == "success", expression
    finally:
        process.kill()
        process.wait()


def ask_prometheus(port: int, query: str) -> Any:
    """Ask until there is an answer."""
    url = f"http://127.0.0.1:{port}/api/v1/query"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            answer = httpx.get(url, params={"query": query})
            # It listens before it has opened its storage, and says 503 in plain words until then.
            if answer.is_success and (found := answer.json()["data"]["result"]):
                return found
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"Prometheus knows nothing of {query}"
        time.sleep(0.2)
