"""What Prefect's server does by the clock."""

from __future__ import annotations

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
