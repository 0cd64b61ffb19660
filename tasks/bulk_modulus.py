"""The stages of a bulk modulus: opt, volume_points, fit.

By default one stage walks all volumes, since each point starts from what its neighbours have
shown; the published protocol has independent points, one stage each.
"""

from __future__ import annotations

from mof_benchmark.schemas import (
    BulkModulusParameters,
    BulkModulusResult,
    CalculationRequest,
    Metrics,
    OptimizationResult,
    Provenance,
)
from mof_benchmark.schemas.bulk_modulus import VolumePoint
from mof_benchmark.schemas.common import Document
from tasks.handover import read_relaxed, write_relaxed
from tasks.stage import stage, working


class Prepared(Document):
    """The relaxation, if there was one, and what computes."""

    relaxation: OptimizationResult | None
    provenance: Provenance


class Points(Document):
    """Relaxed volume points and what they cost."""

    points: list[VolumePoint]
    metrics: Metrics


@stage
def opt(request: CalculationRequest) -> Prepared:
    """Relax atoms and cell, and leave the structure for the points."""
    from mof_benchmark.calculations import bulk_modulus
    from mof_benchmark.calculations.common import provenance

    with working(request, "opt") as work:
        atoms, calculator = work.read_structure(), work.calculator()
        relaxed, relaxation = bulk_modulus.opt(
            atoms,
            calculator,
            BulkModulusParameters.model_validate(request.parameters),
            workdir=work.workdir,
            monitor=work.monitor,
            structure_sha256=request.structure.sha256,
        )
        write_relaxed(work, relaxed)
        return Prepared(
            relaxation=relaxation, provenance=provenance(atoms, calculator, request.structure.sha256)
        )


@stage
def volume_points(request: CalculationRequest) -> Points:
    """All points, walked outwards from the relaxed volume."""
    from mof_benchmark.calculations import bulk_modulus

    parameters = BulkModulusParameters.model_validate(request.parameters)
    with working(request, "volume_points") as work:
        calculator = work.calculator()
        points = bulk_modulus.walked_points(read_relaxed(work), calculator, parameters, monitor=work.monitor)
        return Points(points=points, metrics=calculator.metrics())


@stage
def volume_point(request: CalculationRequest, number: int) -> Points:
    """One point by the published road."""
    from mof_benchmark.calculations import bulk_modulus

    parameters = BulkModulusParameters.model_validate(request.parameters)
    with working(request, "volume_points") as work:
        calculator = work.calculator()
        point = bulk_modulus.published_point(
            read_relaxed(work), calculator, parameters, number, monitor=work.monitor
        )
        return Points(points=[point], metrics=calculator.metrics())


@stage
def fit(request: CalculationRequest, prepared: Prepared, parts: list[Points]) -> BulkModulusResult:
    """Fit the equation of state and write its files."""
    from mof_benchmark.calculations import bulk_modulus

    with working(request, "fit") as work:
        return bulk_modulus.fit(
            read_relaxed(work),
            prepared.relaxation,
            [point for part in parts for point in part.points],
            [part.metrics for part in parts],
            prepared.provenance,
            BulkModulusParameters.model_validate(request.parameters),
            workdir=work.workdir,
        )
