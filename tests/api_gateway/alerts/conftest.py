from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from mofsim_settings import (
    AlertSettings,
    ComputeSettings,
    DatabaseSettings,
    PrefectSettings,
    SchedulingSettings,
    Settings,
)
from tests.api_gateway.alerts.world import Watched, watched
from tests.api_gateway.webhooks.receiver import receiving
from tests.fixtures.prefect import PrefectServer


@pytest.fixture(scope="module")
def world(database_url: str, prefect_server: PrefectServer) -> Iterator[Watched]:
    """Two simulated GPUs, the thresholds of the requirements, short times."""
    home = Path(tempfile.mkdtemp(prefix="mofsim-alerts-"))
    with receiving() as receiver:
        settings = Settings(
            home=home,
            database=DatabaseSettings(url=SecretStr(database_url)),
            prefect=PrefectSettings(api_url=prefect_server.api_url),
            compute=ComputeSettings(slots=2, simulated=True),
            scheduling=SchedulingSettings(lost_after_seconds=3600),
            alerts=AlertSettings(
                check_seconds=0.3,
                startup_grace_seconds=0,
                worker_silent_seconds=8,
                chore_late_seconds=2,
                aggregate_seconds=0.3,
                resend_seconds=2,
                api_p99_seconds=1.5,
                api_p99_clear_seconds=1.2,
                api_window_seconds=8,
                api_least_requests=1,
                webhooks=(receiver.url,),
                webhook_secret=SecretStr("alerts secret"),
            ),
        )
        with watched(settings, receiver) as world:
            yield world
    shutil.rmtree(home, ignore_errors=True)
