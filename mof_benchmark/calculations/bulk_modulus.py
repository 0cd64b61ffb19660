"""Bulk modulus: relax, relax the atoms at volumes around the minimum, fit an equation of state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from mof_benchmark.calculations.common import (
    begin,
    provenance,
    require_crystal,
    write_whole,
)
from mof_benchmark.calculations.equation_of_state import EosFit, fit_equation_of_state, volumes_around
from mof_benchmark.calculations.preparation import bare, relax_first, total
from mof_benchmark.calculations.relaxation import Relaxation, relax
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.optimizers.volume_points import relax_at_volumes
from mof_benchmark.outputs import output_file
from mof_benchmark.plots.equation_of_state import plot_equation_of_state
from mof_benchmark.plots.style import save
from mof_benchmark.schemas.bulk_modulus import BulkModulusParameters, BulkModulusResult, VolumePoint
from mof_benchmark.schemas.common import Metrics, OutputFile, Provenance
from mof_benchmark.schemas.optimization import OptimizationParameters, OptimizationResult
from mof_benchmark.schemas.protocol import is_published, overruled, settled

STAGE = "volume_points"
POOR_FIT_MEV_ATOM = 0.1
"""Points of one smooth curve leave 0.01 to 0.02; RSM0011, with points of two shapes, 0.18."""


def run(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: BulkModulusParameters,
    *,
    workdir: Path,
    monitor: Monitor | None = None,
    structure_sha256: str | None = None,
) -> BulkModulusResult:
    """Compute the bulk modulus, all stages in one process.

    Raises
    ------
    InvalidFileError
        The structure is not periodic in three directions.
    CalculationFailedError
        The energies have no minimum an equation of state could describe.
    MofsimError
        As `optimization.run`.
    """
    monitor = monitor or SilentMonitor()
    asked, parameters = parameters, settled(parameters)
    relaxed, relaxation = opt(
        atoms, calculator, parameters, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )
    source = provenance(atoms, calculator, structure_sha256)
    calculator.start()
    if is_published(parameters):
        points = [
            published_point(relaxed, calculator, parameters, number, monitor=monitor)
            for number in range(parameters.n_points)
        ]
    else:
        points = walked_points(relaxed, calculator, parameters, monitor=monitor)
    return fit(relaxed, relaxation, points, [calculator.metrics()], source, asked, workdir=workdir)


def opt(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: BulkModulusParameters,
    *,
    workdir: Path,
    monitor: Monitor,
    structure_sha256: str | None = None,
) -> tuple[Atoms, OptimizationResult | None]:
    """Relax atoms and cell, unless `optimize_first` is off."""
    parameters = settled(parameters)
    require_crystal(atoms, "A bulk modulus needs")
    if not parameters.optimize_first:
        return bare(begin(atoms, calculator, parameters)), None
    settings = OptimizationParameters(
        fmax=parameters.fmax, max_steps=parameters.max_steps, with_d3=parameters.with_d3
    )
    return relax_first(
        atoms, calculator, settings, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )


def walked_points(
    relaxed: Atoms, calculator: MeteredCalculator, parameters: BulkModulusParameters, *, monitor: Monitor
) -> list[VolumePoint]:
    """All points by the fast road, each from what its neighbours have shown."""
    points = relax_at_volumes(
        relaxed,
        calculator,
        _volumes(relaxed, parameters),
        fmax=parameters.fmax,
        max_steps=parameters.max_steps,
        monitor=monitor,
        stage=STAGE,
    )
    return [
        VolumePoint(
            volume_A3=point.volume_A3,
            energy_eV=point.energy_eV,
            converged=point.converged,
            fmax_eV_A=point.fmax_eV_A,
        )
        for point in points
    ]


def published_point(
    relaxed: Atoms,
    calculator: MeteredCalculator,
    parameters: BulkModulusParameters,
    number: int,
    *,
    monitor: Monitor,
) -> VolumePoint:
    """One point by the published road: FIRE from the relaxed structure, scaled."""
    parameters = settled(parameters)
    volume = _volumes(relaxed, parameters)[number]
    image = relaxed.copy()
    image.set_cell(relaxed.cell * (volume / relaxed.cell.volume) ** (1 / 3), scale_atoms=True)

    def report(relaxation: Relaxation) -> None:
        monitor.step(
            STAGE,
            number,
            parameters.n_points,
            volume_A3=volume,
            energy_eV=relaxation.energies_eV[-1],
            fmax_eV_A=relaxation.fmax_eV_A[-1],
        )

    result = relax(
        image,
        calculator,
        optimizer="FIRE",
        fmax_eV_A=parameters.fmax,
        max_steps=parameters.max_steps,
        on_step=report,
    )
    return VolumePoint(
        volume_A3=float(result.atoms.cell.volume),
        energy_eV=result.energies_eV[-1],
        converged=result.converged,
        fmax_eV_A=result.fmax_eV_A[-1],
    )


def fit(
    relaxed: Atoms,
    relaxation: OptimizationResult | None,
    points: Sequence[VolumePoint],
    spent: Sequence[Metrics],
    source: Provenance,
    parameters: BulkModulusParameters,
    *,
    workdir: Path,
) -> BulkModulusResult:
    """Fit the equation of state, write files and judge; `spent` is what the points cost."""
    overruling, parameters = overruled(parameters), settled(parameters)
    workdir.mkdir(parents=True, exist_ok=True)
    volumes = [point.volume_A3 for point in points]
    energies = [point.energy_eV for point in points]
    fitted = fit_equation_of_state(volumes, energies, parameters.eos)
    rmse_meV_atom = 1e3 * fitted.rmse_eV / len(relaxed)
    before = [] if relaxation is None else [relaxation.metrics]
    return BulkModulusResult(
        converged=(relaxation is None or relaxation.converged) and all(point.converged for point in points),
        warnings=[
            *overruling,
            *([] if relaxation is None else relaxation.warnings),
            *_judgement(fitted, points, rmse_meV_atom),
        ],
        output_files=[
            *([] if relaxation is None else relaxation.output_files),
            *_write_files(points, fitted, parameters, relaxed, workdir),
        ],
        provenance=source,
        metrics=total([*before, *spent]),
        bulk_modulus_GPa=fitted.bulk_modulus_GPa,
        equilibrium_volume_A3=fitted.volume_A3,
        equilibrium_energy_eV=fitted.energy_eV,
        pressure_derivative=fitted.pressure_derivative,
        eos=parameters.eos,
        volumes_A3=volumes,
        energies_eV=energies,
        points_converged=[point.converged for point in points],
        fit_rmse_meV_atom=rmse_meV_atom,
    )


def _volumes(relaxed: Atoms, parameters: BulkModulusParameters) -> list[float]:
    return volumes_around(float(relaxed.cell.volume), parameters.strain_range, parameters.n_points)


def _judgement(fitted: EosFit, points: Sequence[VolumePoint], rmse_meV_atom: float) -> list[str]:
    warnings = []
    if not fitted.minimum_inside:
        warnings.append(
            f"The minimum at {fitted.volume_A3:.1f} Å³ lies at the edge of the range: relax first, or widen "
            "strain_range."
        )
    unconverged = [f"{point.volume_A3:.1f} Å³" for point in points if not point.converged]
    if unconverged:
        warnings.append(f"Points that did not converge: {', '.join(unconverged)}.")
    if rmse_meV_atom > POOR_FIT_MEV_ATOM:
        warnings.append(
            f"The fit is poor ({rmse_meV_atom:.2f} meV/atom): the framework may change its shape within "
            "the range, and B₀ be a mixture of two. Compare points and curve, or narrow strain_range."
        )
    return warnings


def _write_files(
    points: Sequence[VolumePoint],
    fitted: EosFit,
    parameters: BulkModulusParameters,
    relaxed: Atoms,
    workdir: Path,
) -> list[OutputFile]:
    table = workdir / "volume_points.csv"
    rows = np.array([[p.volume_A3, p.energy_eV, p.fmax_eV_A, p.converged] for p in points])
    header = "volume_A3,energy_eV,fmax_eV_A,converged"
    write_whole(
        table, lambda path: np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.10g")
    )
    figure = plot_equation_of_state(
        points,
        minimum=(fitted.volume_A3, fitted.energy_eV),
        n_atoms=len(relaxed),
        eos=parameters.eos,
        title=f"{relaxed.get_chemical_formula('hill')}, B = {fitted.bulk_modulus_GPa:.2f} GPa",
    )
    return [output_file(path, workdir) for path in (table, *save(figure, workdir / "equation_of_state"))]
