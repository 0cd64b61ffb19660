"""Stability under molecular dynamics: relax, equilibrate (NVT), produce (NPT), judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation

from mof_benchmark.calculations.common import (
    computed_with,
    require_crystal,
    write_structure,
    write_whole,
)
from mof_benchmark.calculations.dynamics import RunFiles, Series, run_dynamics
from mof_benchmark.calculations.framework_analysis import (
    broken_bonds,
    displacements_without_strain,
    metal_coordination,
    radial_distribution,
)
from mof_benchmark.calculations.preparation import bare, relax_first, total
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.outputs import output_file
from mof_benchmark.plots.dynamics import plot_dynamics
from mof_benchmark.plots.style import save
from mof_benchmark.schemas.common import Metrics, OutputFile
from mof_benchmark.schemas.optimization import OptimizationParameters, OptimizationResult
from mof_benchmark.schemas.protocol import is_published, overruled, settled
from mof_benchmark.schemas.stability import (
    MetalCoordination,
    NptSettings,
    NvtSettings,
    RadialDistribution,
    StabilityParameters,
    StabilityResult,
)

LARGEST_VOLUME_DRIFT_PERCENT = 10.0
LARGEST_COORDINATION_CHANGE = 0.5
LARGEST_BROKEN_SHARE = 0.02
LARGEST_TEMPERATURE_DEVIATION = 0.15
"""Of the mean from the thermostat's temperature, beyond what so few atoms fluctuate by."""
LAST_PART = 0.1
"""Share of the run whose mean volume is the final one."""


@dataclass(frozen=True)
class Trajectories:
    """The trajectories of both stages, wherever the attempts that wrote them put them."""

    nvt: Path
    npt: Path


@dataclass(frozen=True)
class DynamicsRun:
    """A finished stage of dynamics: the atoms with their momenta, the samples, the cost."""

    atoms: Atoms
    series: Series
    metrics: Metrics


def run(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: StabilityParameters,
    *,
    workdir: Path,
    monitor: Monitor | None = None,
    structure_sha256: str | None = None,
) -> StabilityResult:
    """Run all stages in one process.

    Raises
    ------
    InvalidFileError
        The structure is not periodic in three directions.
    UnphysicalError
        The dynamics exploded or the cell collapsed; the files so far are kept.
    MofsimError
        As `optimization.run`.
    """
    monitor = monitor or SilentMonitor()
    relaxed, relaxation = opt(
        atoms, calculator, parameters, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )
    warm = dynamics(relaxed, calculator, parameters, "nvt", workdir=workdir, monitor=monitor)
    produced = dynamics(warm.atoms, calculator, parameters, "npt", workdir=workdir, monitor=monitor)
    spent = [relaxation.metrics, warm.metrics, produced.metrics]
    files = Trajectories(run_files(workdir, "nvt").trajectory, run_files(workdir, "npt").trajectory)
    return judge(atoms, relaxed, relaxation, produced, files, spent, parameters, workdir=workdir)


def opt(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: StabilityParameters,
    *,
    workdir: Path,
    monitor: Monitor,
    structure_sha256: str | None = None,
) -> tuple[Atoms, OptimizationResult]:
    """Repeat the cell as asked for and relax (the atoms only, by default)."""
    parameters = settled(parameters)
    require_crystal(atoms, "The dynamics need")
    settings = OptimizationParameters(
        optimizer=parameters.opt.optimizer,
        filter=parameters.opt.filter,
        fmax=parameters.opt.fmax,
        max_steps=parameters.opt.max_steps,
        with_d3=parameters.with_d3,
    )
    supercell = bare(atoms).repeat(parameters.supercell)
    if len(supercell) < 2:
        raise InvalidFileError(
            "The dynamics need more than one atom: repeat the cell by supercell.", field="structure"
        )
    return relax_first(
        supercell, calculator, settings, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )


def dynamics(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: StabilityParameters,
    stage: str,
    *,
    workdir: Path,
    monitor: Monitor,
    resume: RunFiles | None = None,
) -> DynamicsRun:
    """Run stage `nvt` or `npt` from `atoms`, or go on from the files of an interrupted attempt.

    Atoms without momenta get velocities of the stage's temperature, drawn from `seed`.
    """
    parameters = settled(parameters)
    settings: NvtSettings | NptSettings = parameters.nvt if stage == "nvt" else parameters.npt
    # A stage's generator depends on nothing but the seed and the stage: a resumed task draws the same.
    generator = np.random.default_rng([parameters.seed, 0 if stage == "nvt" else 1])
    moving = bare(atoms)
    if atoms.has("momenta"):
        moving.set_momenta(atoms.get_momenta())
    else:
        MaxwellBoltzmannDistribution(moving, temperature_K=settings.temperature_K, rng=generator)
        Stationary(moving)
        if is_published(parameters):
            ZeroRotation(moving)
    calculator.start()
    moving.calc = calculator
    end, series = run_dynamics(
        moving,
        settings,
        stage=stage,
        generator=generator,
        files=run_files(workdir, stage),
        resume=resume,
        monitor=monitor,
        trajectory_interval=parameters.trajectory_interval,
        checkpoint_interval=parameters.checkpoint_interval,
        fix_center=is_published(parameters),
    )
    final = bare(end)
    final.set_momenta(end.get_momenta())
    return DynamicsRun(final, series, calculator.metrics(steps=settings.steps))


def run_files(workdir: Path, stage: str) -> RunFiles:
    """Where a stage of dynamics writes inside a work folder."""
    workdir.mkdir(parents=True, exist_ok=True)
    return RunFiles(trajectory=workdir / f"{stage}.traj", checkpoint=workdir / f"{stage}.checkpoint.npz")


def judge(
    initial: Atoms,
    relaxed: Atoms,
    relaxation: OptimizationResult,
    produced: DynamicsRun,
    trajectories: Trajectories,
    spent: Sequence[Metrics],
    parameters: StabilityParameters,
    *,
    workdir: Path,
) -> StabilityResult:
    """Compare the end with the relaxed structure, say whether it held and why not.

    `spent` is what the stages cost; new files are written to `workdir`.
    """
    overruling, parameters = overruled(parameters), settled(parameters)
    workdir.mkdir(parents=True, exist_ok=True)
    series, final = produced.series, produced.atoms
    moved = displacements_without_strain(relaxed, _turned_back(relaxed, final))
    frames = _last_frames(trajectories.npt)
    rdf = radial_distribution(frames)
    coordination = _coordination(initial.repeat(parameters.supercell), relaxed, final)
    final_volume = float(np.mean(_last_part(series.volume_A3)))
    drift = 100 * (final_volume / float(relaxed.cell.volume) - 1)
    criteria, reasons = _criteria(
        drift, broken_bonds(relaxed, final), coordination, series, parameters.npt, len(final)
    )
    return StabilityResult(
        converged=relaxation.converged,
        warnings=[*overruling, *relaxation.warnings],
        output_files=[
            *relaxation.output_files,
            *_write_files(final, series, trajectories, parameters.npt.timestep_fs, workdir),
        ],
        provenance=computed_with(relaxation.provenance, "pymatgen"),
        metrics=total(spent),
        stable=all(criteria.values()),
        criteria=criteria,
        reasons=reasons,
        initial_volume_A3=float(relaxed.cell.volume),
        final_volume_A3=final_volume,
        volume_drift_percent=drift,
        rmsd_A=float(np.sqrt((moved**2).sum(axis=1).mean())),
        max_displacement_A=float(np.linalg.norm(moved, axis=1).max()),
        mean_temperature_K=float(np.mean(series.temperature_K)),
        final_temperature_K=series.temperature_K[-1],
        mean_pressure_GPa=float(np.mean(series.pressure_GPa)),
        final_pressure_GPa=series.pressure_GPa[-1],
        energy_drift_meV_atom_ps=_energy_drift(series, parameters.npt.timestep_fs, len(final)),
        coordination=coordination,
        radial_distribution=RadialDistribution(r_A=rdf.r_A.tolist(), g=rdf.g.tolist()),
        steps=parameters.nvt.steps + parameters.npt.steps,
        simulated_ps=1e-3
        * (
            parameters.nvt.steps * parameters.nvt.timestep_fs
            + parameters.npt.steps * parameters.npt.timestep_fs
        ),
    )


def _turned_back(relaxed: Atoms, final: Atoms) -> Atoms:
    """The final structure in the relaxed one's orientation (Melchionna's integrator turns the cell)."""
    strain_free = final.copy()
    scaled = final.get_scaled_positions(wrap=False)
    ratio = (final.cell.volume / relaxed.cell.volume) ** (1 / 3)
    strain_free.set_cell(relaxed.cell.array * ratio, scale_atoms=False)
    strain_free.set_scaled_positions(scaled)
    return strain_free


def _coordination(initial: Atoms, relaxed: Atoms, final: Atoms) -> list[MetalCoordination]:
    before, after_opt, end = (metal_coordination(atoms) for atoms in (initial, relaxed, final))
    return [
        MetalCoordination(metal=metal, initial=before[metal], relaxed=after_opt[metal], final=end[metal])
        for metal in before
    ]


def _criteria(
    drift: float,
    bonds: tuple[int, int],
    coordination: Sequence[MetalCoordination],
    series: Series,
    npt: NptSettings,
    n_atoms: int,
) -> tuple[dict[str, bool], list[str]]:
    broken, total = bonds
    changed = [c for c in coordination if abs(c.final - c.relaxed) > LARGEST_COORDINATION_CHANGE]
    # The mean of the kinetic temperature of n atoms over m independent samples fluctuates by
    # T sqrt(2 / 3nm); samples 100 fs apart are taken as independent.
    independent = max(1.0, npt.steps * npt.timestep_fs / 100)
    tolerance = LARGEST_TEMPERATURE_DEVIATION + 3 * np.sqrt(2 / (3 * n_atoms * independent))
    mean_temperature = float(np.mean(series.temperature_K))
    criteria = {
        "volume": abs(drift) <= LARGEST_VOLUME_DRIFT_PERCENT,
        "bonds": broken <= LARGEST_BROKEN_SHARE * total,
        "coordination": not changed,
        "temperature": abs(mean_temperature / npt.temperature_K - 1) <= tolerance,
    }
    sentences = {
        "volume": f"The volume drifted by {drift:+.1f} %, more than {LARGEST_VOLUME_DRIFT_PERCENT:g} %.",
        "bonds": f"{broken} of {total} bonds of the relaxed structure are broken.",
        "coordination": "The coordination changed: "
        + ", ".join(f"{c.metal} from {c.relaxed:.2f} to {c.final:.2f}" for c in changed)
        + ".",
        "temperature": f"The mean temperature is {mean_temperature:.0f} K, {npt.temperature_K:g} K was set.",
    }
    return criteria, [sentences[name] for name, holds in criteria.items() if not holds]


def _last_part(values: Sequence[float]) -> Sequence[float]:
    return values[-max(1, round(LAST_PART * len(values))) :]


def _energy_drift(series: Series, timestep_fs: float, n_atoms: int) -> float:
    if len(series.step) < 2:
        return 0.0
    times_ps = np.array(series.step) * timestep_fs * 1e-3
    slope = np.polyfit(times_ps, series.total_energy_eV, 1)[0]
    return float(1e3 * slope / n_atoms)


def _last_frames(trajectory: Path) -> list[Atoms]:
    with Trajectory(trajectory) as frames:
        first = len(frames) - max(1, len(frames) // 2)
        return [frames[k] for k in range(first, len(frames))]


def _write_as_text(trajectory: Path, path: Path) -> None:
    """Copy a trajectory to extended XYZ, frame by frame: a long one does not fit the memory."""
    with Trajectory(trajectory) as frames, path.open("w") as text:
        for frame in frames:
            ase.io.write(text, frame, format="extxyz")


def _write_files(
    final: Atoms, series: Series, trajectories: Trajectories, timestep_fs: float, workdir: Path
) -> list[OutputFile]:
    files = [output_file(workdir / f"{stage}.traj", workdir) for stage in ("nvt", "npt")]
    last = bare(final)
    for name in ("final.cif", "final.extxyz"):
        write_structure(workdir / name, last)
        files.append(output_file(workdir / name, workdir))
    for stage, trajectory in (("nvt", trajectories.nvt), ("npt", trajectories.npt)):
        text = workdir / f"{stage}.extxyz"
        write_whole(text, partial(_write_as_text, trajectory))
        files.append(output_file(text, workdir))
    table = workdir / "npt_series.csv"
    columns = list(vars(series))
    write_whole(
        table,
        lambda path: np.savetxt(
            path,
            np.array(list(vars(series).values())).T,
            delimiter=",",
            header=",".join(columns),
            comments="",
        ),
    )
    files.append(output_file(table, workdir))
    figure = plot_dynamics(series, timestep_fs=timestep_fs, title=final.get_chemical_formula("hill"))
    files += [output_file(path, workdir) for path in save(figure, workdir / "npt")]
    return files
