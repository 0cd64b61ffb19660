"""The stage of an optimization."""

from __future__ import annotations

from mof_benchmark.schemas import CalculationRequest, OptimizationParameters, OptimizationResult
from tasks.stage import stage, working


@stage
def optimize(request: CalculationRequest) -> OptimizationResult:
    """Relax atoms and cell, and write structure, trajectory and convergence plot."""
    # Physics is imported where it runs: the pool worker only submits.
    from mof_benchmark.calculations import optimization

    parameters = OptimizationParameters.model_validate(request.parameters)
    with working(request, "optimize") as work:
        return optimization.run(
            work.read_structure(),
            work.calculator(),
            parameters,
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )
