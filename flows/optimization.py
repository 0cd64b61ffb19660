"""Optimization: relax atoms and cell."""

from __future__ import annotations

from prefect import flow

from mof_benchmark.schemas import CalculationRequest, TaskType
from tasks.attempt import attempt_of
from tasks.dask_runner import ResidentDaskTaskRunner
from tasks.optimization import optimize


@flow(name=TaskType.OPTIMIZATION.value, task_runner=ResidentDaskTaskRunner(), retries=0, persist_result=False)
async def optimization(request: CalculationRequest) -> None:
    async with attempt_of(request) as attempt:
        result = await attempt.run(optimize, request)
        await attempt.finish(result)
