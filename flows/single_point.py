"""Single point: one evaluation of the structure as given."""

from __future__ import annotations

from prefect import flow

from mof_benchmark.schemas import CalculationRequest, TaskType
from tasks.attempt import attempt_of
from tasks.dask_runner import ResidentDaskTaskRunner
from tasks.single_point import evaluate


@flow(name=TaskType.SINGLE_POINT.value, task_runner=ResidentDaskTaskRunner(), retries=0, persist_result=False)
async def single_point(request: CalculationRequest) -> None:
    async with attempt_of(request) as attempt:
        result = await attempt.run(evaluate, request)
        await attempt.finish(result)
