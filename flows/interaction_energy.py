"""Interaction energy: of a given configuration, or of the best poses of a search."""

from __future__ import annotations

from math import ceil

from prefect import flow

from mof_benchmark.schemas import CalculationRequest, InteractionEnergyParameters, TaskType
from tasks.attempt import attempt_of
from tasks.dask_runner import ResidentDaskTaskRunner
from tasks.interaction_energy import conclude, evaluate, evaluate_configuration, place


@flow(
    name=TaskType.INTERACTION_ENERGY.value,
    task_runner=ResidentDaskTaskRunner(),
    retries=0,
    persist_result=False,
)
async def interaction_energy(request: CalculationRequest) -> None:
    parameters = InteractionEnergyParameters.model_validate(request.parameters)
    async with attempt_of(request) as attempt:
        if parameters.mode == "configuration":
            result = await attempt.run(evaluate_configuration, request)
            await attempt.finish(result)
            return
        batches = ceil(await attempt.run(place, request) / parameters.batch_size)
        spent = await attempt.run_each(evaluate, request, range(batches))
        result = await attempt.run(conclude, request, batches, spent)
        await attempt.finish(result)
