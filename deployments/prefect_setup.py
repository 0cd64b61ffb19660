"""Pools, queues, deployments and alert automations in Prefect: `python -m deployments.prefect_setup`.

What `./mofsim deploy` makes in Prefect. `prefect.yaml` declares the same for people who use
Prefect's own command line; a test holds both together. What is there already is left as it is, so
that every part may call this when it starts; only the backup goes when it has no folder any more.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, WorkPoolFilter
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.utilities.callables import parameter_schema

from deployments.automations import ensure_automations
from deployments.stack.parts import MAINTENANCE_POOL
from mof_benchmark.schemas import TaskType
from mofsim_settings import Settings, load_settings

WORKER_TYPE = "mofsim"
POOL_LIMIT = 1
JOB_TEMPLATE = {
    "job_configuration": {"runs_in": "the resident worker"},
    "variables": {"type": "object", "properties": {}},
}
"""Runs need no infrastructure. Prefect checks a run against its pool's template when it makes it,
which takes 8 ms with the default one and next to nothing with this."""
QUEUES = {"critical": 1, "high": 2, "normal": 3, "low": 4}
"""Work queues of every pool with their priority in Prefect (lower goes first)."""
FLOWS = {
    TaskType.SINGLE_POINT: "flows.single_point.single_point",
    TaskType.OPTIMIZATION: "flows.optimization.optimization",
    TaskType.STABILITY: "flows.stability.stability",
    TaskType.BULK_MODULUS: "flows.bulk_modulus.bulk_modulus",
    TaskType.HEAT_CAPACITY: "flows.heat_capacity.heat_capacity",
    TaskType.INTERACTION_ENERGY: "flows.interaction_energy.interaction_energy",
}
"""Entry point of the flow of each task type."""
TAG = "mofsim"
CARE_FLOWS = {
    "archive-logs": "deployments.maintenance.flows.archive_logs",
    "care-for-data": "deployments.maintenance.flows.care_for_data",
}
"""Entry point of each daily chore."""
BACKUP_FLOW = "backup"
BACKUP_ENTRYPOINT = "deployments.backup.flow.backup"


@dataclass(frozen=True)
class DeploymentSpec:
    """A deployment as it should be."""

    flow_name: str
    name: str
    entrypoint: str
    pool: str
    queue: str = "normal"
    cron: str = ""
    """Schedule in UTC; empty: none."""

    @property
    def full_name(self) -> str:
        return f"{self.flow_name}/{self.name}"


def pool_name(gpu_id: int) -> str:
    return f"gpu-{gpu_id}"


def deployment_specs(settings: Settings) -> list[DeploymentSpec]:
    """Every deployment there is."""
    return slot_specs(settings) + maintenance_specs(settings)


def slot_specs(settings: Settings) -> list[DeploymentSpec]:
    """One deployment per task type and pool: `<task type>/gpu-<i>`."""
    return [
        DeploymentSpec(task_type.value, pool_name(gpu), entrypoint, pool_name(gpu))
        for gpu in range(settings.compute.slots)
        for task_type, entrypoint in FLOWS.items()
    ]


def maintenance_specs(settings: Settings) -> list[DeploymentSpec]:
    """The scheduled chores; the backup's only with a folder for it."""
    chores = dict.fromkeys(CARE_FLOWS.items(), settings.storage.care_schedule)
    if settings.backup.folder is not None:
        chores[BACKUP_FLOW, BACKUP_ENTRYPOINT] = settings.backup.schedule
    return [
        DeploymentSpec(name, MAINTENANCE_POOL, entrypoint, MAINTENANCE_POOL, "default", cron)
        for (name, entrypoint), cron in chores.items()
    ]


def load_flow(entrypoint: str) -> Flow[..., Any]:
    """Import the flow an entry point (`package.module.name`) names."""
    module, _, name = entrypoint.rpartition(".")
    return cast("Flow[..., Any]", getattr(import_module(module), name))


def description_of(entrypoint: str) -> str:
    """The first line of what a flow, or else its module, says of itself."""
    text = inspect.getdoc(load_flow(entrypoint).fn) or import_module(entrypoint.rpartition(".")[0]).__doc__
    return (text or "").partition("\n")[0]


async def ensure(settings: Settings, client: PrefectClient) -> None:
    """Make the pools, queues, deployments and automations that are missing, as these settings ask."""
    await ensure_slots(settings, client)
    await ensure_deployments(maintenance_specs(settings), client)
    if settings.backup.folder is None:
        with suppress(ObjectNotFound):
            backup = await client.read_deployment_by_name(f"{BACKUP_FLOW}/{MAINTENANCE_POOL}")
            await client.delete_deployment(backup.id)
    await ensure_automations(settings, client)


async def ensure_slots(settings: Settings, client: PrefectClient) -> None:
    """Make what the slots need: pools, queues, deployments of the flows.

    All that the settings of a further machine may decide: chores and alerts are those of the first.
    """
    pools = {pool.name: pool for pool in await _all_pools(client)}
    for gpu in range(settings.compute.slots):
        name = pool_name(gpu)
        if name not in pools:
            pools[name] = await _make_pool(client, name, gpu)
    await ensure_deployments(slot_specs(settings), client)


async def ensure_deployments(specs: Sequence[DeploymentSpec], client: PrefectClient) -> None:
    """Make the deployments that are missing or different, and the pool of the chores if there are any."""
    if any(spec.pool == MAINTENANCE_POOL for spec in specs):
        await _make_maintenance_pool(client)
    existing = {
        (deployment.flow_id, deployment.name): deployment for deployment in await _all_deployments(client)
    }
    names = dict.fromkeys(spec.flow_name for spec in specs)
    flow_ids = {name: await client.create_flow_from_name(name) for name in names}
    for spec in specs:
        deployment = existing.get((flow_ids[spec.flow_name], spec.name))
        if deployment is None or (deployment.entrypoint, _cron(deployment)) != (spec.entrypoint, spec.cron):
            await _make_deployment(client, spec)


async def _all_pools(client: PrefectClient) -> list[WorkPool]:
    pools: list[WorkPool] = []
    while page := await client.read_work_pools(
        limit=200, offset=len(pools), work_pool_filter=WorkPoolFilter(type={"any_": [WORKER_TYPE]})
    ):
        pools += page
        if len(page) < 200:
            break
    return pools


async def _all_deployments(client: PrefectClient) -> list[DeploymentResponse]:
    deployments: list[DeploymentResponse] = []
    while page := await client.read_deployments(
        limit=200,
        offset=len(deployments),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])),
    ):
        deployments += page
        if len(page) < 200:
            break
    return deployments


async def _make_pool(client: PrefectClient, name: str, gpu: int) -> WorkPool:
    try:
        pool = await client.create_work_pool(
            WorkPoolCreate(
                name=name,
                type=WORKER_TYPE,
                description=f"Runs on GPU {gpu}, by the resident worker.",
                base_job_template=JOB_TEMPLATE,
                concurrency_limit=POOL_LIMIT,
            )
        )
    except ObjectAlreadyExists:
        pool = await client.read_work_pool(name)
        await client.update_work_pool(
            name, WorkPoolUpdate(base_job_template=JOB_TEMPLATE, concurrency_limit=POOL_LIMIT)
        )
    for queue, priority in QUEUES.items():
        try:
            await client.create_work_queue(name=queue, work_pool_name=name, priority=priority)
        except ObjectAlreadyExists:
            continue
    return pool


async def _make_maintenance_pool(client: PrefectClient) -> None:
    # Here: the import costs every worker some tenths of a second.
    from prefect.workers.process import ProcessWorker

    with suppress(ObjectAlreadyExists):
        await client.create_work_pool(
            WorkPoolCreate(
                name=MAINTENANCE_POOL,
                type=ProcessWorker.type,
                description="Scheduled chores, each in a process of its own.",
                base_job_template=ProcessWorker.get_default_base_job_template(),
                concurrency_limit=POOL_LIMIT,
            )
        )


def _cron(deployment: DeploymentResponse) -> str:
    """The schedule a deployment has in Prefect."""
    schedules = [entry.schedule for entry in deployment.schedules]
    return next((schedule.cron for schedule in schedules if isinstance(schedule, CronSchedule)), "")


async def _make_deployment(client: PrefectClient, spec: DeploymentSpec) -> None:
    flow = load_flow(spec.entrypoint)
    flow_id = await client.create_flow(flow)
    await client.create_deployment(
        flow_id=flow_id,
        name=spec.name,
        work_pool_name=spec.pool,
        work_queue_name=spec.queue,
        entrypoint=spec.entrypoint,
        tags=[TAG],
        description=description_of(spec.entrypoint),
        parameter_openapi_schema=parameter_schema(flow).model_dump(exclude_unset=True),
        enforce_parameter_schema=False,
        schedules=[DeploymentScheduleCreate(schedule=CronSchedule(cron=spec.cron, timezone="UTC"))]
        if spec.cron
        else [],
    )


async def _main() -> None:
    settings = load_settings()
    auth_string = settings.prefect.auth_string.get_secret_value() or None
    with temporary_settings(
        {PREFECT_API_URL: settings.prefect.api_url, PREFECT_API_AUTH_STRING: auth_string}
    ):
        async with get_client() as client:
            await ensure(settings, client)


if __name__ == "__main__":
    asyncio.run(_main())
