"""The automations that Prefect gets, and the rules whose events they expect."""

from __future__ import annotations

from typing import Any

from api_gateway.alerts.rules import CLEARED, rules
from api_gateway.orchestrator import MAINTENANCE_POOL
from deployments.automations import ALERT_EVENTS, automation_name
from deployments.prefect_setup import maintenance_specs
from mofsim_settings import Settings
from tests.fixtures.execution import Execution, wait_until


def test_every_rule_s_event_has_its_automation() -> None:
    told = {kind: rule.event for kind, rule in rules(Settings()).items() if rule.event is not None}
    assert told == ALERT_EVENTS
    assert all(rules(Settings())[kind].automation == automation_name(kind) for kind in ALERT_EVENTS)


def test_chores_are_looked_for_where_they_are_deployed() -> None:
    assert {(spec.name, spec.pool) for spec in maintenance_specs(Settings())} == {(MAINTENANCE_POOL,) * 2}


def test_the_worker_s_set_up_makes_each_automation_once(execution: Execution) -> None:
    def ours() -> list[dict[str, Any]]:
        made = execution.api.post("/automations/filter", json={}).json()
        return [automation for automation in made if automation["name"].startswith("mofsim: ")]

    # They are made last.
    wait_until(lambda: len(ours()) >= len(ALERT_EVENTS), 120.0, "the automations")
    assert sorted(automation["name"] for automation in ours()) == sorted(map(automation_name, ALERT_EVENTS))
    for automation in ours():
        event = ALERT_EVENTS[automation["name"].removeprefix("mofsim: ")]
        assert sorted(automation["trigger"]["expect"]) == [event, event + CLEARED]
        assert automation["enabled"]
