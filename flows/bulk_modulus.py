"""Bulk modulus: relax, relax the atoms at volumes around the minimum, fit."""

from __future__ import annotations

from prefect import flow

from mof_benchmark.schemas import (
    BulkModulusParameters,
    CalculationRequest,
    TaskType,
    is_published,
    settled,
)
from tasks.attempt import attempt_of
from tasks.bulk_modulus import fit, opt, volume_point, volume_points
from tasks.dask_runner import ResidentDaskTaskRunner


@flow(name=TaskType.BULK_MODULUS.value, task_runner=ResidentDaskTaskRunner(), retries=0, persist_result=False)
async def bulk_modulus(request: CalculationRequest) -> None:
    parameters = settled(BulkModulusParameters.model_validate(request.parameters))
    async with attempt_of(request) as attempt:
        prepared = await attempt.run(opt, request)
        if is_published(parameters):
            parts = await attempt.run_each(volume_point, request, range(parameters.n_points))
        else:
            parts = [await attempt.run(volume_points, request)]
        result = await attempt.run(fit, request, prepared, parts)
        await attempt.finish(result)
