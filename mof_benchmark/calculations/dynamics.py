"""Molecular dynamics that can be interrupted at any step and go on as if it had not been.

A checkpoint holds everything the integrator carries from step to step (positions, momenta, cell,
thermostat and barostat variables, the random generator's state) in full precision, the sampled
series and the number of trajectory frames. Resumed from it, a run gives the same numbers as one
that was never stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io.trajectory import Trajectory
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.melchionna import MelchionnaNPT
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.nptberendsen import NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from numpy.typing import NDArray

from mof_benchmark.errors import UnphysicalError
from mof_benchmark.monitor import Monitor
from mof_benchmark.schemas.stability import NptSettings, NvtSettings
from mof_benchmark.units import BAR_TO_EV_A3, EV_A3_TO_GPA, GPA_TO_EV_A3

CHECKPOINT_SECONDS = 30.0
"""At least as often is a checkpoint written: steps of a large framework may take seconds each."""
TYPICAL_BULK_MODULUS_GPA = 20.0
"""Sets the coupling strength of the Berendsen and Melchionna barostats; of a MOF's order."""
EXPLODED_TEMPERATURE_FACTOR = 20.0
COLLAPSED_VOLUME_RATIO, BURST_VOLUME_RATIO = 0.3, 3.0
MELCHIONNA = "melchionna"


@dataclass
class Series:
    """Samples of a run, one per `sample_interval` steps, all of one length."""

    step: list[int] = field(default_factory=list)
    temperature_K: list[float] = field(default_factory=list)
    pressure_GPa: list[float] = field(default_factory=list)
    volume_A3: list[float] = field(default_factory=list)
    potential_energy_eV: list[float] = field(default_factory=list)
    total_energy_eV: list[float] = field(default_factory=list)

    def append(self, step: int, atoms: Atoms) -> None:
        self.step.append(step)
        self.temperature_K.append(float(atoms.get_temperature()))
        self.pressure_GPa.append(pressure_GPa(atoms))
        self.volume_A3.append(float(atoms.get_volume()))
        self.potential_energy_eV.append(float(atoms.get_potential_energy()))
        self.total_energy_eV.append(float(atoms.get_total_energy()))


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """What a run writes, in the work folder of its attempt."""

    trajectory: Path
    checkpoint: Path


def pressure_GPa(atoms: Atoms) -> float:
    """Instantaneous pressure, kinetic part included, GPa."""
    stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
    return float(-np.trace(stress) / 3 * EV_A3_TO_GPA)


def upper_triangular(atoms: Atoms) -> Atoms:
    """A rotated copy whose cell matrix is upper triangular, as Melchionna's integrator needs it."""
    rotated = atoms.copy()
    cell = rotated.cell.array[::-1, ::-1]
    q, r = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(r))
    turn = (q * signs)[::-1, ::-1] if np.linalg.det(q * signs) > 0 else -(q * signs)[::-1, ::-1]
    rotated.set_cell(atoms.cell.array @ turn, scale_atoms=True)
    rotated.set_momenta(atoms.get_momenta() @ turn)
    return rotated


def run_dynamics(
    atoms: Atoms,
    settings: NvtSettings | NptSettings,
    *,
    stage: str,
    generator: np.random.Generator,
    files: RunFiles,
    resume: RunFiles | None,
    monitor: Monitor,
    trajectory_interval: int,
    checkpoint_interval: int,
    sample_interval: int = 10,
    fix_center: bool = False,
) -> tuple[Atoms, Series]:
    """Run `settings.steps` steps from `atoms` (with its calculator and momenta), or the rest of them.

    With the files of an earlier, interrupted attempt in `resume`, the run continues from its
    checkpoint; the frames that checkpoint counts are copied into the new trajectory. `fix_center`
    keeps Langevin's noise from moving the whole, as the published protocol has it; the ensemble is
    then not quite that of the temperature. A checkpoint is written every `checkpoint_interval` steps,
    every `CHECKPOINT_SECONDS` and at the end.

    Returns
    -------
    The atoms at the end (same object as given, except for Melchionna's rotated cell) and the series.

    Raises
    ------
    UnphysicalError
        Temperature or volume left every sensible range; the files so far are kept.
    StoppedError
        From the monitor.
    """
    if settings.dynamics == MELCHIONNA and not np.allclose(atoms.cell.array, np.triu(atoms.cell.array)):
        calculator = atoms.calc
        atoms = upper_triangular(atoms)
        atoms.calc = calculator
    reference_volume = float(atoms.get_volume())
    integrator = make_integrator(atoms, settings, generator, fix_center=fix_center)
    series, frames = Series(), 0
    if resume is not None:
        series, frames, reference_volume = _restore(resume.checkpoint, integrator, generator)
        monitor.log("INFO", f"{stage} continues from step {integrator.nsteps}", step=integrator.nsteps)
    trajectory = _continued_trajectory(files.trajectory, resume, frames)
    saved = time.monotonic()

    def after_step() -> None:
        nonlocal saved
        step = integrator.nsteps
        if step % trajectory_interval == 0:
            trajectory.write(atoms)
        if step % sample_interval == 0 or step == settings.steps:
            series.append(step, atoms)
        late = time.monotonic() - saved >= CHECKPOINT_SECONDS
        if step and (late or step % checkpoint_interval == 0 or step == settings.steps):
            _save(files.checkpoint, integrator, generator, series, len(trajectory), reference_volume)
            saved = time.monotonic()
        temperature = float(atoms.get_temperature())
        volume = float(atoms.get_volume())
        _check_sane(stage, step, temperature, settings.temperature_K, volume / reference_volume)
        monitor.step(
            stage,
            step,
            settings.steps,
            temperature_K=temperature,
            volume_A3=volume,
            energy_eV=float(atoms.get_potential_energy()),
        )

    integrator.attach(after_step)
    try:
        integrator.run(settings.steps - integrator.nsteps)
    finally:
        trajectory.close()
    return atoms, series


def make_integrator(
    atoms: Atoms,
    settings: NvtSettings | NptSettings,
    generator: np.random.Generator,
    *,
    fix_center: bool = False,
) -> MolecularDynamics:
    """ASE's integrator for the settings."""
    temperature = settings.temperature_K
    timestep, tdamp = settings.timestep_fs * units.fs, settings.tdamp_fs * units.fs
    if isinstance(settings, NvtSettings):
        nvt: dict[str, Callable[[], MolecularDynamics]] = {
            "langevin": lambda: Langevin(
                atoms,
                timestep,
                temperature_K=temperature,
                friction=settings.friction_per_fs / units.fs,
                fixcm=fix_center,
                rng=generator,
            ),
            "berendsen": lambda: NVTBerendsen(atoms, timestep, taut=tdamp, temperature_K=temperature),
            "nose_hoover_chain": lambda: NoseHooverChainNVT(atoms, timestep, temperature, tdamp),
            "bussi": lambda: Bussi(atoms, timestep, temperature, tdamp, rng=generator),
        }
        return nvt[settings.dynamics]()
    pressure = settings.pressure_bar * BAR_TO_EV_A3
    pdamp = settings.pdamp_fs * units.fs
    bulk_modulus = TYPICAL_BULK_MODULUS_GPA * GPA_TO_EV_A3
    npt: dict[str, Callable[[], MolecularDynamics]] = {
        "isotropic_mtk": lambda: IsotropicMTKNPT(atoms, timestep, temperature, pressure, tdamp, pdamp),
        "mtk": lambda: MTKNPT(atoms, timestep, temperature, pressure, tdamp, pdamp),
        "berendsen": lambda: NPTBerendsen(
            atoms,
            timestep,
            temperature_K=temperature,
            pressure_au=pressure,
            taut=tdamp,
            taup=pdamp,
            compressibility_au=1 / bulk_modulus,
        ),
        MELCHIONNA: lambda: MelchionnaNPT(
            atoms,
            timestep,
            temperature_K=temperature,
            externalstress=pressure,
            ttime=tdamp,
            pfactor=pdamp**2 * bulk_modulus,
        ),
    }
    return npt[settings.dynamics]()


def _check_sane(stage: str, step: int, temperature: float, target: float, volume_ratio: float) -> None:
    if not np.isfinite(temperature) or temperature > EXPLODED_TEMPERATURE_FACTOR * target:
        raise UnphysicalError(f"{stage}: {temperature:.0f} K at step {step}, {target:.0f} K asked for.")
    if not COLLAPSED_VOLUME_RATIO < volume_ratio < BURST_VOLUME_RATIO:
        raise UnphysicalError(f"{stage}: {100 * volume_ratio:.0f} % of the first volume at step {step}.")


# The integrator's memory: numbers and arrays of the object and of its thermostat and barostat.
# Constants (masses, time step) are among them and restored to what they were.
_PARTS = ("", "_thermostat", "_barostat")


def _integrator_state(integrator: MolecularDynamics) -> dict[str, NDArray[Any]]:
    state = {}
    for part in _PARTS:
        owner = getattr(integrator, part) if part and hasattr(integrator, part) else integrator
        if part and owner is integrator:
            continue
        for name, value in vars(owner).items():
            if isinstance(value, (bool, int, float, np.number, np.ndarray)):
                state[f"{part}.{name}"] = np.asarray(value)
    return state


def _restore_integrator(integrator: MolecularDynamics, state: dict[str, NDArray[Any]]) -> None:
    for key, value in state.items():
        part, name = key.split(".", 1)
        owner = getattr(integrator, part) if part else integrator
        setattr(owner, name, value.item() if value.ndim == 0 else value.copy())


def _save(
    path: Path,
    integrator: MolecularDynamics,
    generator: np.random.Generator,
    series: Series,
    frames: int,
    reference_volume: float,
) -> None:
    """Write a checkpoint atomically: a crash leaves the old one or the new one."""
    atoms = integrator.atoms
    arrays: dict[str, Any] = {
        "positions": atoms.get_positions(),
        "momenta": atoms.get_momenta(),
        "cell": atoms.cell.array,
        "generator": json.dumps(generator.bit_generator.state),
        "frames": frames,
        "reference_volume": reference_volume,
    }
    arrays |= {f"series:{name}": np.asarray(values) for name, values in vars(series).items()}
    arrays |= {f"state:{name}": value for name, value in _integrator_state(integrator).items()}
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, **arrays)
    unfinished.replace(path)


def _restore(
    path: Path, integrator: MolecularDynamics, generator: np.random.Generator
) -> tuple[Series, int, float]:
    with np.load(path, allow_pickle=False) as saved:
        atoms = integrator.atoms
        atoms.set_cell(saved["cell"], scale_atoms=False)
        atoms.set_positions(saved["positions"])
        atoms.set_momenta(saved["momenta"])
        generator.bit_generator.state = json.loads(str(saved["generator"]))
        _restore_integrator(integrator, _under("state:", saved))
        series = Series(**{name: values.tolist() for name, values in _under("series:", saved).items()})
        return series, int(saved["frames"]), float(saved["reference_volume"])


def _under(prefix: str, saved: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): saved[name] for name in saved if name.startswith(prefix)}


def _continued_trajectory(path: Path, resume: RunFiles | None, frames: int) -> Any:
    """The trajectory to append to: the frames the checkpoint counts, then what comes."""
    trajectory = Trajectory(path, "w")
    if resume is not None:
        with Trajectory(resume.trajectory) as earlier:
            for k in range(frames):
                trajectory.write(earlier[k])
    return trajectory
