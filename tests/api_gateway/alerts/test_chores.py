"""Chores that fail or do not start, from their runs in Prefect to the alert and back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.states import Pending, Scheduled

from api_gateway.orchestrator import MAINTENANCE_POOL
from deployments.prefect_setup import ensure_deployments, maintenance_specs
from mofsim_settings import BackupSettings, Settings, StorageSettings
from tests.api_gateway.alerts.world import Watched, wait_for

ROOT = Path(__file__).resolve().parents[3]
KIND = "chore_failed"
T = TypeVar("T")


@pytest.fixture(scope="module")
def backups() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mofsim-backups-") as folder:
        yield Path(folder) / "disk" / "backups"


@pytest.fixture(scope="module")
def settings(world: Watched, backups: Path) -> Settings:
    """The world's, with a folder for backups; its chores are deployed."""
    changes = {"backup": BackupSettings(folder=backups), "storage": StorageSettings(care_schedule="")}
    settings = world.gateway.settings.model_copy(update=changes)

    async def deploy(client: PrefectClient) -> None:
        await ensure_deployments(maintenance_specs(settings), client)

    asked(settings, deploy)
    return settings


def asked(settings: Settings, question: Callable[[PrefectClient], Awaitable[T]]) -> T:
    async def ask() -> T:
        async with PrefectClient(settings.prefect.api_url) as client:
            return await question(client)

    return asyncio.run(ask())


def order(settings: Settings, chore: str, state: State[None]) -> UUID:
    """A run of a chore, in a state that its schedule or Prefect's worker gives it."""

    async def make(client: PrefectClient) -> UUID:
        deployment = await client.read_deployment_by_name(f"{chore}/{MAINTENANCE_POOL}")
        return (await client.create_flow_run_from_deployment(deployment.id, state=state)).id

    return asked(settings, make)


def run(settings: Settings, run_id: UUID) -> StateType | None:
    """Do a run in the process that Prefect's worker starts for it; answers how it ended."""
    subprocess.run(
        [sys.executable, "-m", "prefect.engine"],
        cwd=ROOT,
        env={
            **os.environ,
            "PREFECT__FLOW_RUN_ID": str(run_id),
            "PREFECT_API_URL": settings.prefect.api_url,
            "MOFSIM_HOME": str(settings.home),
            "MOFSIM_DATABASE__URL": settings.database.url.get_secret_value(),
            "MOFSIM_BACKUP__FOLDER": str(settings.backup.folder),
        },
        capture_output=True,
        check=False,
    )

    async def outcome(client: PrefectClient) -> StateType | None:
        state = (await client.read_flow_run(run_id)).state
        return None if state is None else state.type

    return asked(settings, outcome)


def test_a_backup_that_fails_is_an_alert_until_the_next_succeeds(
    world: Watched, settings: Settings, backups: Path
) -> None:
    # Where the disk should be mounted lies a file.
    backups.parent.write_text("")
    assert run(settings, order(settings, "backup", Pending())) is StateType.FAILED
    (alert,) = wait_for(lambda: world.active(KIND), "the alert")
    assert (alert["level"], alert["subject"], alert["via"]) == ("WARNING", "backup", "prefect")
    assert alert["details"]["deployment"] == "backup/maintenance"
    assert (alert["details"]["failed"], alert["details"]["late"]) == (True, False)
    assert "cannot be written: Not a directory" in alert["details"]["reason"]
    wait_for(lambda: world.told(KIND), "its notification")

    backups.parent.unlink()
    assert run(settings, order(settings, "backup", Pending())) is StateType.COMPLETED
    assert list(backups.iterdir())
    wait_for(lambda: not world.active(KIND), "the end of the alert")
    history = world.client.get("/system/alerts/history", params={"type": KIND}).json()["data"]["items"]
    assert [(one["alert_id"], one["resolved"]) for one in history] == [(alert["alert_id"], True)]
    rules = world.client.get("/system/alerts/rules").json()["data"]["items"]
    (rule,) = (one for one in rules if one["type"] == KIND)
    assert (rule["automation"], rule["muted"], rule["active"]) == (f"mofsim: {KIND}", False, 0)


def test_a_chore_that_nobody_starts_is_an_alert_until_it_has_run(world: Watched, settings: Settings) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    run_id = order(settings, "archive-logs", Scheduled(scheduled_time=an_hour_ago))
    (alert,) = wait_for(lambda: world.active(KIND), "the alert")
    assert alert["subject"] == "archive-logs"
    assert (alert["details"]["failed"], alert["details"]["late"]) == (False, True)
    assert run(settings, run_id) is StateType.COMPLETED
    wait_for(lambda: not world.active(KIND), "the end of the alert")
