"""The stage of a single point."""

from __future__ import annotations

from mof_benchmark.schemas import CalculationRequest, SinglePointParameters, SinglePointResult
from tasks.stage import stage, working


@stage
def evaluate(request: CalculationRequest) -> SinglePointResult:
    """Energy, forces and stress of the structure as given."""
    # Physics is imported where it runs: the pool worker only submits.
    from mof_benchmark.calculations import single_point

    parameters = SinglePointParameters.model_validate(request.parameters)
    with working(request, "evaluate") as work:
        return single_point.run(
            work.read_structure(),
            work.calculator(),
            parameters,
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )
