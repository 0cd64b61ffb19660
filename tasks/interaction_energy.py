"""The stages of an interaction energy: place (a search only), evaluate (in batches), conclude."""

from __future__ import annotations

import numpy as np

from mof_benchmark.schemas import (
    CalculationRequest,
    InteractionEnergyParameters,
    InteractionEnergyResult,
    Metrics,
)
from tasks.handover import read_array, write_array
from tasks.stage import stage, working


@stage
def place(request: CalculationRequest) -> int:
    """Insert the guest at random into the empty framework; answers the number of poses."""
    from mof_benchmark.calculations import interaction_energy

    parameters = InteractionEnergyParameters.model_validate(request.parameters)
    with working(request, "place") as work:
        pair = interaction_energy.empty_framework(work.read_structure(), parameters)
        poses = interaction_energy.place(pair, parameters, monitor=work.monitor)
        write_array(work, "poses", np.array(poses))
        return len(poses)


@stage
def evaluate(request: CalculationRequest, batch: int) -> Metrics:
    """Single points of one batch of poses."""
    from mof_benchmark.calculations import interaction_energy

    parameters = InteractionEnergyParameters.model_validate(request.parameters)
    with working(request, "evaluate") as work:
        pair = interaction_energy.empty_framework(work.read_structure(), parameters)
        placed = read_array(work, "poses")
        first = batch * parameters.batch_size
        calculator = work.calculator()
        evaluated = interaction_energy.evaluate_poses(
            pair,
            list(placed[first : first + parameters.batch_size]),
            calculator,
            monitor=work.monitor,
            first=first,
            n_poses=len(placed),
        )
        write_array(work, f"energies-{batch}", np.array([pose.energy_eV for pose in evaluated]))
        return calculator.metrics()


@stage
def conclude(request: CalculationRequest, batches: int, spent: list[Metrics]) -> InteractionEnergyResult:
    """Relax the best poses, evaluate host and guest alone, rank and write."""
    from mof_benchmark.calculations import interaction_energy

    parameters = InteractionEnergyParameters.model_validate(request.parameters)
    with working(request, "conclude") as work:
        pair = interaction_energy.empty_framework(work.read_structure(), parameters)
        energies = np.concatenate([read_array(work, f"energies-{batch}") for batch in range(batches)])
        poses = [
            interaction_energy.EvaluatedPose(positions=positions, energy_eV=float(energy))
            for positions, energy in zip(read_array(work, "poses"), energies, strict=True)
        ]
        calculator = work.calculator()
        poses = interaction_energy.relax_best(pair, poses, calculator, parameters, monitor=work.monitor)
        return interaction_energy.conclude(
            pair,
            poses,
            calculator,
            parameters,
            spent=spent,
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )


@stage
def evaluate_configuration(request: CalculationRequest) -> InteractionEnergyResult:
    """Split host and guest, and evaluate both together and each alone."""
    from mof_benchmark.calculations import interaction_energy

    with working(request, "evaluate") as work:
        return interaction_energy.run(
            work.read_structure(),
            work.calculator(),
            InteractionEnergyParameters.model_validate(request.parameters),
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )
