"""Pools, queues and deployments, as made and as declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deployments.prefect_setup import QUEUES, DeploymentSpec, deployment_specs, load_flow
from mof_benchmark.schemas import TaskType
from mofsim_settings import BackupSettings, ComputeSettings, Settings
from tests.fixtures.execution import Execution

DECLARED_SLOTS = 8


def declared() -> list[dict[str, Any]]:
    text = (Path(__file__).resolve().parents[2] / "prefect.yaml").read_text()
    return list(yaml.safe_load(text)["deployments"])


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
