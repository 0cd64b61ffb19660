"""Heat capacity: relax, displace and evaluate in batches, force constants, sums over phonons."""

from __future__ import annotations

from math import ceil

from prefect import flow

from mof_benchmark.schemas import CalculationRequest, TaskType
from tasks.attempt import attempt_of
from tasks.dask_runner import ResidentDaskTaskRunner
from tasks.heat_capacity import BATCH, displacements, force_constants, opt, thermal


@flow(
    name=TaskType.HEAT_CAPACITY.value, task_runner=ResidentDaskTaskRunner(), retries=0, persist_result=False
)
async def heat_capacity(request: CalculationRequest) -> None:
    async with attempt_of(request) as attempt:
        prepared = await attempt.run(opt, request)
        batches = ceil(prepared.n_displacements / BATCH)
        spent = await attempt.run_each(displacements, request, range(batches))
        await attempt.run(force_constants, request, batches)
        result = await attempt.run(thermal, request, prepared, spent)
        await attempt.finish(result)
