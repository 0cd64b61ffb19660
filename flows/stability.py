"""Stability: relax, equilibrate (NVT), produce (NPT), judge."""

from __future__ import annotations

from prefect import flow

from mof_benchmark.schemas import CalculationRequest, TaskType
from tasks.attempt import attempt_of
from tasks.dask_runner import ResidentDaskTaskRunner
from tasks.stability import judge, npt, nvt, opt


@flow(name=TaskType.STABILITY.value, task_runner=ResidentDaskTaskRunner(), retries=0, persist_result=False)
async def stability(request: CalculationRequest) -> None:
    async with attempt_of(request) as attempt:
        relaxation = await attempt.run(opt, request)
        warm = await attempt.run(nvt, request)
        produced = await attempt.run(npt, request)
        result = await attempt.run(judge, request, relaxation, warm, produced)
        await attempt.finish(result)
