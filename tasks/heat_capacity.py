"""The stages of a heat capacity: opt, displacements (in batches), force_constants, thermal."""

from __future__ import annotations

import numpy as np

from mof_benchmark.schemas import CalculationRequest, HeatCapacityParameters, HeatCapacityResult, Metrics
from mof_benchmark.schemas.common import Document
from mof_benchmark.schemas.heat_capacity import Symmetrization
from mof_benchmark.schemas.optimization import OptimizationResult
from tasks.handover import read_array, read_relaxed, write_array, write_relaxed
from tasks.stage import stage, working

BATCH = 32
"""Displaced structures of one stage run: an interrupted task loses at most so many."""


class Prepared(Document):
    """A relaxed structure and how many displacements it needs."""

    relaxation: OptimizationResult
    symmetrization: Symmetrization | None
    n_displacements: int
    spent: Metrics


@stage
def opt(request: CalculationRequest) -> Prepared:
    """Relax atoms and cell, and leave the structure for the displacements."""
    from mof_benchmark.calculations import heat_capacity

    parameters = HeatCapacityParameters.model_validate(request.parameters)
    with working(request, "opt") as work:
        calculator = work.calculator()
        relaxed, relaxation = heat_capacity.opt(
            work.read_structure(),
            calculator,
            parameters,
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )
        calculator.start()
        relaxed, symmetrization = heat_capacity.symmetrized(
            relaxed, calculator, parameters, monitor=work.monitor
        )
        write_relaxed(work, relaxed)
        n_displacements = heat_capacity.count_displacements(relaxed, parameters)
        work.monitor.log("INFO", f"{n_displacements} displaced structures.", n_displacements=n_displacements)
        return Prepared(
            relaxation=relaxation,
            symmetrization=symmetrization,
            n_displacements=n_displacements,
            spent=calculator.metrics(),
        )


@stage
def displacements(request: CalculationRequest, batch: int) -> Metrics:
    """Forces of one batch of displaced structures."""
    from mof_benchmark.calculations import heat_capacity

    parameters = HeatCapacityParameters.model_validate(request.parameters)
    with working(request, "displacements") as work:
        calculator = work.calculator()
        forces = heat_capacity.displacements(
            read_relaxed(work),
            calculator,
            parameters,
            monitor=work.monitor,
            only=slice(batch * BATCH, (batch + 1) * BATCH),
        )
        write_array(work, f"forces-{batch}", forces)
        return calculator.metrics()


@stage
def force_constants(request: CalculationRequest, batches: int) -> None:
    """Force constants from the forces of all batches."""
    from mof_benchmark.calculations import heat_capacity

    parameters = HeatCapacityParameters.model_validate(request.parameters)
    with working(request, "force_constants") as work:
        forces = np.concatenate([read_array(work, f"forces-{batch}") for batch in range(batches)])
        constants = heat_capacity.force_constants(read_relaxed(work), forces, parameters)
        write_array(work, "force_constants", constants)


@stage
def thermal(request: CalculationRequest, prepared: Prepared, spent: list[Metrics]) -> HeatCapacityResult:
    """Sums over the phonons, files and judgement."""
    from mof_benchmark.calculations import heat_capacity

    with working(request, "thermal") as work:
        return heat_capacity.thermal(
            read_relaxed(work),
            read_array(work, "force_constants"),
            prepared.n_displacements,
            prepared.relaxation,
            [prepared.relaxation.metrics, prepared.spent, *spent],
            HeatCapacityParameters.model_validate(request.parameters),
            symmetrization=prepared.symmetrization,
            workdir=work.workdir,
        )
