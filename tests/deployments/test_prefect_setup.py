"""Pools, queues and deployments, as made and as declared."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient

from deployments.environment import client_environment
from deployments.prefect_setup import (
    BACKUP_FLOW,
    CARE_FLOWS,
    QUEUES,
    DeploymentSpec,
    deployment_specs,
    ensure,
    ensure_slots,
    load_flow,
)
from deployments.stack.parts import MAINTENANCE_POOL
from mof_benchmark.schemas import TaskType
from mofsim_settings import BackupSettings, ComputeSettings, GatewaySettings, Settings
from tests.fixtures.execution import Execution

SetUp = Callable[[Settings, PrefectClient], Awaitable[None]]
ROOT = Path(__file__).resolve().parents[2]
DECLARED_SLOTS = 8
OF_THE_COMMAND = {"version", "version_id", "version_info", "pull_steps"}
"""What `prefect deploy` adds: a version from the file's content, and the folder it was called in."""


def declared() -> list[dict[str, Any]]:
    return list(yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"])


def test_prefect_yaml_declares_what_the_setup_makes() -> None:
    from_yaml = [
        DeploymentSpec(
            flow_name=load_flow(entry["entrypoint"]).name,
            name=entry["name"],
            entrypoint=entry["entrypoint"],
            pool=entry["work_pool"]["name"],
            queue=entry["work_pool"]["work_queue_name"],
            cron=next((schedule["cron"] for schedule in entry.get("schedules", [])), ""),
        )
        for entry in declared()
    ]
    production = Settings(
        compute=ComputeSettings(slots=DECLARED_SLOTS), backup=BackupSettings(folder=Path("/backups"))
    )
    assert from_yaml == deployment_specs(production)


def test_every_flow_is_named_like_its_task_type() -> None:
    specs = deployment_specs(Settings(compute=ComputeSettings(slots=1)))
    for spec in (spec for spec in specs if spec.pool == "gpu-0"):
        assert load_flow(spec.entrypoint).name == TaskType(spec.flow_name).value


def test_every_slot_has_a_pool_with_four_queues_in_order_of_priority(execution: Execution) -> None:
    for gpu in range(execution.settings.compute.slots):
        queues = execution.api.post(f"/work_pools/gpu-{gpu}/queues/filter", json={}).json()
        priorities = {queue["name"]: queue["priority"] for queue in queues if queue["name"] in QUEUES}
        assert list(priorities) == sorted(priorities, key=priorities.__getitem__)
        assert sorted(priorities, key=lambda name: priorities[name]) == list(QUEUES)


def set_up(settings: Settings, how: SetUp = ensure) -> None:
    async def run() -> None:
        async with PrefectClient(settings.prefect.api_url) as client:
            await how(settings, client)

    asyncio.run(run())


def objects(execution: Execution) -> dict[str, list[dict[str, Any]]]:
    """What Prefect holds of ours, each kind in an order of its own."""

    def ask(path: str, **body: Any) -> list[dict[str, Any]]:
        return list(execution.api.post(path, json=body).raise_for_status().json())

    pools = [pool for pool in ask("/work_pools/filter") if pool["name"].startswith(("gpu-", "maintenance"))]
    found = {
        "pools": pools,
        "queues": [queue for pool in pools for queue in ask(f"/work_pools/{pool['name']}/queues/filter")],
        "deployments": ask("/deployments/filter", limit=200),
        "automations": ask("/automations/filter"),
        "blocks": ask("/block_documents/filter"),
    }
    return {kind: sorted(some, key=lambda one: str(one["id"])) for kind, some in found.items()}


def lasting(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Without what changes by itself or with every writing."""
    passing = {"updated", "last_polled", "status", "updated_by", "created_by", "schedules"}
    return {
        kind: [
            {name: value for name, value in one.items() if name not in passing}
            | {"crons": [entry["schedule"] for entry in one.get("schedules", [])]}
            for one in some
        ]
        for kind, some in found.items()
    }


def test_setting_up_again_changes_nothing_and_keeps_what_operators_did(
    execution: Execution, tmp_path: Path
) -> None:
    settings = execution.settings.model_copy(
        update={"backup": BackupSettings(folder=tmp_path, schedule="0 2 * * *")}
    )
    set_up(settings)
    (muted, *_) = (one for one in objects(execution)["automations"] if one["name"].startswith("mofsim: "))
    execution.api.patch(f"/automations/{muted['id']}", json={"enabled": False}).raise_for_status()
    try:
        before = objects(execution)
        names = {one["name"] for one in before["deployments"]}
        assert names == {"gpu-0", "gpu-1", "maintenance"}
        set_up(settings)
        assert lasting(objects(execution)) == lasting(before)
    finally:
        execution.api.patch(f"/automations/{muted['id']}", json={"enabled": True}).raise_for_status()


def test_the_backup_goes_with_its_folder(execution: Execution, tmp_path: Path) -> None:
    def chores() -> set[str]:
        names = {flow["id"]: flow["name"] for flow in execution.api.post("/flows/filter", json={}).json()}
        return {
            names[one["flow_id"]]
            for one in objects(execution)["deployments"]
            if one["name"] == MAINTENANCE_POOL
        }

    set_up(execution.settings.model_copy(update={"backup": BackupSettings(folder=tmp_path)}))
    assert chores() == {BACKUP_FLOW, *CARE_FLOWS}
    set_up(execution.settings)
    assert chores() == {*CARE_FLOWS}


def test_a_further_machine_leaves_chores_and_alerts_to_the_first(execution: Execution) -> None:
    """Its settings know neither the first one's gateway nor its schedules."""
    set_up(execution.settings)
    before = objects(execution)
    elsewhere = execution.settings.model_copy(
        update={
            "gateway": GatewaySettings(port=4711),
            "storage": execution.settings.storage.model_copy(update={"care_schedule": "7 7 * * *"}),
        }
    )
    set_up(elsewhere, ensure_slots)
    assert lasting(objects(execution)) == lasting(before)
    set_up(elsewhere)
    assert lasting(objects(execution)) != lasting(before), "the whole set-up would have changed them"
    set_up(execution.settings)


def test_prefect_s_own_command_deploys_what_the_set_up_makes(execution: Execution, tmp_path: Path) -> None:
    settings = execution.settings.model_copy(update={"backup": BackupSettings(folder=tmp_path)})
    set_up(settings)
    made = objects(execution)
    here = ("gpu-0", "gpu-1", "maintenance")
    document = {"name": "mofsim", "deployments": [one for one in declared() if one["name"] in here]}
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(document))

    words = ("--no-prompt", "deploy", "--all", "--prefect-file", str(tmp_path / "prefect.yaml"))
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        cwd=ROOT,
        env={**os.environ, **client_environment(settings)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    deployed = objects(execution)
    written = {one["id"]: one["updated"] for one in made["deployments"]}
    assert len(written) == len(document["deployments"])
    assert all(one["updated"] > written[one["id"]] for one in deployed["deployments"])
    other = {
        name: (one[name], two[name])
        for one, two in zip(lasting(deployed)["deployments"], lasting(made)["deployments"], strict=True)
        for name in one
        if one[name] != two[name]
    }
    assert set(other) <= OF_THE_COMMAND, other
    assert {**lasting(deployed), "deployments": []} == {**lasting(made), "deployments": []}
