"""Relaxation of a structure, with its files: the `optimization` task."""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase import Atoms
from ase.io.trajectory import Trajectory

from mof_benchmark.calculations.common import (
    begin,
    cell_parameters,
    frame,
    provenance,
    rmsd_without_strain_A,
    volume_A3,
    write_structure,
)
from mof_benchmark.calculations.relaxation import Relaxation, relax, require_compatible, same_minimum
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import MofsimError, StoppedError
from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.outputs import output_file
from mof_benchmark.plots.convergence import plot_convergence
from mof_benchmark.plots.style import save
from mof_benchmark.schemas.common import OutputFile
from mof_benchmark.schemas.optimization import OptimizationParameters, OptimizationResult
from mof_benchmark.schemas.protocol import PUBLISHED, overruled, settled
from mof_benchmark.structures.vacuum import vacuum_layer

STAGE, VERIFY = "optimize", "verify"
LARGE_VOLUME_CHANGE_PERCENT = 15.0


def run(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: OptimizationParameters,
    *,
    workdir: Path,
    monitor: Monitor | None = None,
    structure_sha256: str | None = None,
    stage: str = STAGE,
) -> OptimizationResult:
    """Relax a structure and write trajectory, relaxed structure and convergence plot.

    An unconverged relaxation is returned like a converged one, flagged. When the calculation
    ends early (stopped, unphysical), the files up to then are readable.

    Parameters
    ----------
    atoms
        Structure; not changed.
    calculator
        Model and dispersion.
    workdir
        Folder of the output files.
    structure_sha256
        Digest of the stored structure, for provenance.
    stage
        Name under which steps are reported.

    Raises
    ------
    InvalidFileError, InvalidParameterError, UnsupportedElementError
        The structure or the settings cannot be relaxed as they stand.
    UnphysicalError, OutOfMemoryError
        The relaxation went wrong, with the step.
    StoppedError
        The monitor asked to stop.
    """
    monitor = monitor or SilentMonitor()
    warnings, parameters = overruled(parameters), settled(parameters)
    initial = begin(atoms, calculator, parameters)
    require_compatible(initial, parameters.optimizer, parameters.filter, parameters.pressure_GPa)
    files = _Files(workdir, parameters)

    def on_step(relaxation: Relaxation) -> None:
        files.record(relaxation)
        monitor.step(
            stage,
            relaxation.steps,
            parameters.max_steps,
            energy_eV=relaxation.energies_eV[-1],
            fmax_eV_A=relaxation.fmax_eV_A[-1],
            volume_A3=relaxation.volumes_A3[-1],
        )

    try:
        relaxation = relax(
            initial,
            calculator,
            optimizer=parameters.optimizer,
            cell_filter=parameters.filter,
            fmax_eV_A=parameters.fmax,
            max_steps=parameters.max_steps,
            pressure_GPa=parameters.pressure_GPa,
            on_step=on_step,
        )
    except MofsimError as error:
        # Whoever stops a task waits for the answer, which drawing would delay.
        files.finish(draw=not isinstance(error, StoppedError))
        raise
    files.finish()
    final = relaxation.atoms
    same_minimum, found = _verified(initial, relaxation, calculator, parameters, monitor)
    return OptimizationResult(
        converged=relaxation.converged,
        warnings=warnings + _judgement(relaxation, parameters) + found,
        output_files=files.listing(),
        provenance=provenance(atoms, calculator, structure_sha256),
        metrics=calculator.metrics(steps=relaxation.steps),
        initial_energy_eV=relaxation.energies_eV[0],
        final_energy_eV=relaxation.energies_eV[-1],
        final_fmax=relaxation.fmax_eV_A[-1],
        steps=relaxation.steps,
        initial_volume_A3=volume_A3(initial),
        final_volume_A3=volume_A3(final),
        volume_change_percent=_volume_change_percent(relaxation),
        cell_parameters=cell_parameters(final),
        rmsd_from_initial=rmsd_without_strain_A(initial, final),
        energy_history=relaxation.energies_eV,
        fmax_history=relaxation.fmax_eV_A,
        optimizer=parameters.optimizer,
        same_minimum_as_published=same_minimum,
    )


def _verified(
    initial: Atoms,
    relaxation: Relaxation,
    calculator: MeteredCalculator,
    parameters: OptimizationParameters,
    monitor: Monitor,
) -> tuple[bool | None, list[str]]:
    """Relax by the published road as well, where that was asked for, and compare the ends."""
    if not (parameters.verify_minimum and relaxation.converged):
        return None, []
    if parameters.filter in {"none", "StrainFilter"}:
        return None, [f"The minimum was not verified: filter {parameters.filter} finds another one."]
    optimizer, cell_filter = (PUBLISHED[OptimizationParameters][name] for name in ("optimizer", "filter"))
    if (parameters.optimizer, parameters.filter) == (optimizer, cell_filter):
        return True, []

    def on_step(published: Relaxation) -> None:
        energy_eV, fmax_eV_A = published.energies_eV[-1], published.fmax_eV_A[-1]
        monitor.step(VERIFY, published.steps, parameters.max_steps, energy_eV=energy_eV, fmax_eV_A=fmax_eV_A)

    published = relax(
        initial,
        calculator,
        optimizer=optimizer,
        cell_filter=cell_filter,
        fmax_eV_A=parameters.fmax,
        max_steps=parameters.max_steps,
        pressure_GPa=parameters.pressure_GPa,
        on_step=on_step,
    )
    if not published.converged:
        steps = f"{published.steps} steps"
        return None, [f"The minimum was not verified: {optimizer} did not converge in {steps}."]
    ends = [(road.energies_eV[-1], road.volumes_A3[-1]) for road in (relaxation, published)]
    if same_minimum(ends[0], ends[1], len(initial)):
        return True, []
    (energy, volume), (published_energy, published_volume) = ends
    return False, [
        f"{parameters.optimizer} with {parameters.filter} led to another minimum than the published road: "
        f"{energy - published_energy:+.4f} eV and {volume - published_volume:+.2f} Å³ from "
        f"{published_energy:.4f} eV and {published_volume:.2f} Å³."
    ]


def _volume_change_percent(relaxation: Relaxation) -> float | None:
    first, last = relaxation.volumes_A3[0], relaxation.volumes_A3[-1]
    return 100.0 * (last / first - 1.0) if first > 0 else None


def _judgement(relaxation: Relaxation, parameters: OptimizationParameters) -> list[str]:
    """What a careful reader should know about this relaxation."""
    warnings = []
    if not relaxation.converged:
        reason = relaxation.stopped_because or f"{relaxation.steps} steps were not enough"
        warnings.append(
            f"Not converged: {reason}; the largest force is {relaxation.fmax_eV_A[-1]:.4g} eV/Å, "
            f"{parameters.fmax:g} was asked for."
        )
    change = _volume_change_percent(relaxation)
    if change is not None and abs(change) > LARGE_VOLUME_CHANGE_PERCENT:
        warnings.append(
            f"The volume changed by {change:+.1f} %: a flexible framework may have left its pore shape."
        )
    vacuum = vacuum_layer(relaxation.atoms) if parameters.filter != "none" else None
    if vacuum is not None:
        warnings.append(
            f"{vacuum.width_A:.1f} Å of vacuum go right through the cell along {vacuum.axis}: the relaxed "
            "cell of a slab or a molecule means nothing; use filter none."
        )
    unverified = parameters.optimizer == "ModelHessianLBFGS" and not parameters.verify_minimum
    if unverified and parameters.filter != "none":
        warnings.append(
            "ModelHessianLBFGS takes another path than the published protocol; a flexible framework may "
            "end in another minimum. Compare energies before volumes, or ask for verify_minimum."
        )
    return warnings


class _Files:
    """The files of one relaxation, kept readable at every moment."""

    def __init__(self, workdir: Path, parameters: OptimizationParameters) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self._workdir = workdir
        self._parameters = parameters
        self._interval = parameters.trajectory_interval
        self._trajectory = workdir / "trajectory.traj"
        self._trajectory_xyz = workdir / "trajectory.extxyz"
        self._cif = workdir / "optimized.cif"
        self._xyz = workdir / "optimized.extxyz"
        self._plots: list[Path] = []
        self._relaxation: Relaxation | None = None
        self._last_frame: Atoms | None = None
        self._last_written = -1
        for path in (self._trajectory, self._trajectory_xyz):
            path.unlink(missing_ok=True)

    def record(self, relaxation: Relaxation) -> None:
        """Keep this step, and write it when its turn has come."""
        self._relaxation = relaxation
        # Frozen now: after a failed step the live atoms are the failed ones.
        self._last_frame = frame(relaxation.atoms, step=relaxation.steps)
        if relaxation.steps % self._interval == 0:
            self._append(self._last_frame)

    def finish(self, *, draw: bool = True) -> None:
        """Write the last good frame, the structure and, if asked to, the plot."""
        if self._relaxation is None or self._last_frame is None:
            return
        if self._last_written != self._relaxation.steps:
            self._append(self._last_frame)
        write_structure(self._xyz, self._last_frame)
        if self._last_frame.cell.rank == 3:
            write_structure(self._cif, self._last_frame)
        if not draw:
            return
        figure = plot_convergence(
            self._relaxation.energies_eV,
            self._relaxation.fmax_eV_A,
            fmax_target_eV_A=self._parameters.fmax,
            n_atoms=len(self._last_frame),
            volumes_A3=self._relaxation.volumes_A3 if self._parameters.filter != "none" else None,
            title=f"{self._last_frame.get_chemical_formula('hill')}, {self._parameters.optimizer}",
        )
        self._plots = save(figure, self._workdir / "convergence")

    def listing(self) -> list[OutputFile]:
        """The files that exist."""
        paths = (self._cif, self._xyz, self._trajectory, self._trajectory_xyz, *self._plots)
        return [output_file(path, self._workdir) for path in paths if path.exists()]

    def _append(self, last: Atoms) -> None:
        with Trajectory(self._trajectory, mode="a") as trajectory:
            trajectory.write(last)
        ase.io.write(self._trajectory_xyz, last, format="extxyz", append=True)
        self._last_written = last.info["step"]
