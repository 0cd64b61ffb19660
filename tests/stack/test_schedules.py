"""What Prefect's server does by the clock."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

import httpx
import pytest

from mofsim_settings import load_settings
from tests.stack.running import Home
from tests.stack.waiting import wait_for

pytestmark = pytest.mark.stack


def test_the_daily_chores_have_runs_that_wait_for_their_hour(home: Home) -> None:
    url = load_settings(home.folder).prefect.api_url
    asked: dict[str, Any] = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    asked |= {"flows": {"name": {"any_": ["archive-logs", "care-for-data"]}}}

    def waiting() -> set[str]:
        answer = httpx.post(f"{url}/flow_runs/filter", json=asked, timeout=60)
        runs = answer.raise_for_status().json()
        return {run["flow_id"] for run in runs if run["auto_scheduled"]}

    wait_for(lambda: len(waiting()) == 2, "a scheduled run of each chore")


def test_a_chore_that_died_with_its_worker_does_not_block_the_next_ones(home: Home) -> None:
    """Its run would stay Running in a pool with a limit of one."""
    url = load_settings(home.folder).prefect.api_url
    with httpx.Client(base_url=url, timeout=60) as prefect:

        def ask(method: str, path: str, **body: Any) -> Any:
            answer = prefect.request(method, path, json=body or None).raise_for_status()
            return answer.json() if answer.content else None

        deployment = ask("GET", "/deployments/name/archive-logs/maintenance")
        run = ask(
            "POST",
            f"/deployments/{deployment['id']}/create_flow_run",
            state={"type": "RUNNING", "name": "Running"},
        )
        never_was = 2**22 + 1
        ask("PATCH", f"/flow_runs/{run['id']}", infrastructure_pid=f"{socket.gethostname()}:{never_was}")
        killed = home.pid_of("maintenance")

        os.kill(killed, signal.SIGKILL)

        wait_for(
            lambda: home.pid_of("maintenance") not in (0, killed), "the worker of the chores running again"
        )
        wait_for(lambda: ask("GET", f"/flow_runs/{run['id']}")["state_type"] == "CRASHED", "the run's end")
        again = ask("POST", f"/deployments/{deployment['id']}/create_flow_run", state={"type": "SCHEDULED"})
        wait_for(
            lambda: ask("GET", f"/flow_runs/{again['id']}")["state_type"] == "COMPLETED", "the next chore"
        )
