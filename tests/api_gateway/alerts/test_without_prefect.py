"""Alerts while Prefect is away, and the sink by itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api_gateway.alerts.notifier import summary
from api_gateway.alerts.rules import Level, rules
from api_gateway.alerts.schemas import AlertDocument
from api_gateway.auth.credentials import Scope
from mof_benchmark.identifiers import new_id
from mofsim_settings import AlertSettings, ComputeSettings, DatabaseSettings, PrefectSettings, Settings
from tests.api_gateway.alerts.world import Hosts, Watched, wait_for
from tests.api_gateway.rest import data_of, error_of
from tests.api_gateway.tasks_for_tests import Sql
from tests.api_gateway.webhooks.receiver import receiving
from tests.fixtures.gateway import NOBODY, Gateway, serve


@pytest.fixture(scope="module")
def world(database_url: str) -> Iterator[Watched]:
    """The same as elsewhere, without Prefect, and with time to gather warnings."""
    home = Path(tempfile.mkdtemp(prefix="mofsim-alone-"))
    sql, hosts_sql = Sql.connect(database_url), Sql.connect(database_url)
    disk = {"free": 500.0}
    with receiving() as receiver:
        settings = Settings(
            home=home,
            database=DatabaseSettings(url=SecretStr(database_url)),
            prefect=PrefectSettings(api_url=NOBODY),
            compute=ComputeSettings(slots=2, simulated=True),
            alerts=AlertSettings(
                check_seconds=0.2,
                startup_grace_seconds=0,
                worker_silent_seconds=5,
                aggregate_seconds=1.5,
                webhooks=(receiver.url,),
            ),
        )
        hosts = Hosts(settings, hosts_sql)
        with hosts.reporting(), serve(settings, disk_free=lambda _: disk["free"]) as url:
            gateway = Gateway(url, settings, {})
            gateway.keys["all"] = gateway.make_key(*Scope)
            yield Watched(gateway, hosts, receiver, sql, disk)
    shutil.rmtree(home, ignore_errors=True)


def told(**changes: Any) -> dict[str, Any]:
    """What an automation posts."""
    return {
        "alert_id": new_id("alert"),
        "level": "CRITICAL",
        "type": "gpu_lost",
        "subject": "GPU 77",
        "message": "GPU 77 is lost",
        "details": {"gpu_id": 77},
        "timestamp": datetime.now(UTC).isoformat(),
        "resolved": False,
    } | changes


def post(world: Watched, document: dict[str, Any], secret: str | None = None) -> httpx.Response:
    header = world.gateway.settings.alert_sink_secret if secret is None else secret
    with world.gateway.client(None) as client:
        return client.post("/system/alerts/sink", json=document, headers={"X-MOFSim-Alert-Secret": header})


def test_the_absence_of_prefect_is_an_alert_that_prefect_need_not_tell(world: Watched) -> None:
    (alert,) = wait_for(lambda: world.active("orchestrator_offline"), "the alert")
    assert (alert["level"], alert["via"], alert["resolved"]) == ("CRITICAL", "monitor", False)
    wait_for(lambda: world.told("orchestrator_offline"), "its notification")


def test_the_monitor_stores_alerts_itself_and_warnings_go_out_together(world: Watched) -> None:
    world.disk["free"] = 3.0
    world.show(0, temperature_C=91)
    wait_for(lambda: world.told("disk_space_low") and world.told("gpu_temperature_high"), "both alerts")
    assert world.active("disk_space_low")[0]["via"] == "monitor"
    world.disk["free"] = 500.0
    world.show(0, temperature_C=40)
    wait_for(lambda: not world.active("disk_space_low") and not world.active("gpu_temperature_high"), "ends")


def test_the_sink_takes_only_who_knows_its_secret(world: Watched) -> None:
    error_of(post(world, told(), secret="guessed"), 401, 20002)
    error_of(post(world, told(type="no_such_rule")), 404, 30006)
    assert world.active("gpu_lost") == []


def test_what_is_told_twice_or_in_the_wrong_order_is_one_alert(world: Watched) -> None:
    raised = told()
    ended = raised | {"resolved": True, "timestamp": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
    news = [data_of(post(world, document))["new"] for document in (ended, raised, ended, raised)]
    assert news == [True, False, False, False]
    assert world.active("gpu_lost") == []
    history = data_of(world.client.get("/system/alerts/history", params={"type": "gpu_lost"}))["items"]
    assert [one["alert_id"] for one in history] == [raised["alert_id"]]


def test_an_alert_that_only_prefect_can_end_lasts_while_prefect_is_away(world: Watched) -> None:
    raised = told(type="chore_failed", level="WARNING", subject="backup", message="The chore backup failed")
    data_of(post(world, raised))
    seen_at = world.sql.row("SELECT clock_timestamp() AS now")["now"]
    looked = "SELECT count(*) AS n FROM gateway_processes WHERE reported_at > %s + interval '1 s'"
    wait_for(lambda: world.sql.row(looked, seen_at)["n"], "some looks")
    (alert,) = world.active("chore_failed")
    assert alert["alert_id"] == raised["alert_id"]


def test_the_history_is_paged_and_filtered(world: Watched) -> None:
    page = data_of(world.client.get("/system/alerts/history", params={"level": "CRITICAL", "page_size": 1}))
    assert len(page["items"]) == 1
    assert page["pagination"]["total_items"] >= 2
    error_of(world.client.get("/system/alerts/history", params={"type": "nonsense"}), 404, 30006)


def test_the_rules_are_those_of_the_requirements(world: Watched) -> None:
    shown = {rule["type"]: rule for rule in data_of(world.client.get("/system/alerts/rules"))["items"]}
    assert set(shown) == set(rules(world.gateway.settings))
    thresholds = {kind: shown[kind]["threshold"] for kind in ("gpu_memory_low", "disk_space_low", "api_slow")}
    assert thresholds == {"gpu_memory_low": 2.0, "disk_space_low": 50.0, "api_slow": 5.0}
    assert shown["gpu_temperature_high"]["threshold"] == 85
    assert shown["queue_backlog"]["threshold"] == 100
    assert shown["task_failures"]["threshold"] == 5
    assert {shown[kind]["level"] for kind in ("gpu_lost", "worker_offline")} == {"CRITICAL"}
    # Prefect is away: nobody knows.
    assert shown["gpu_lost"]["muted"] is None


def test_a_summary_has_the_shape_of_an_alert_and_is_over_when_all_are() -> None:
    def document(number: int, resolved: bool) -> AlertDocument:
        return AlertDocument(
            alert_id=f"alert_{number}",
            level=Level.WARNING,
            type="gpu_memory_low",
            message=f"GPU {number}",
            details={},
            timestamp=datetime.now(UTC),
            resolved=resolved,
        )

    mixed = summary([document(1, True), document(2, False)])
    assert (mixed.type, mixed.level, mixed.resolved) == ("summary", Level.WARNING, False)
    assert [one["alert_id"] for one in mixed.details["alerts"]] == ["alert_1", "alert_2"]
    assert summary([document(1, True)]).resolved
