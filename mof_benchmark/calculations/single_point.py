"""Energy, forces and stress of a structure as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms

from mof_benchmark.calculations.common import (
    begin,
    density_g_cm3,
    frame,
    provenance,
    volume_A3,
    write_structure,
)
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.outputs import output_file
from mof_benchmark.schemas.single_point import SinglePointParameters, SinglePointResult
from mof_benchmark.units import EV_A3_TO_GPA

STAGE = "evaluate"


def run(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: SinglePointParameters,
    *,
    workdir: Path,
    monitor: Monitor | None = None,
    structure_sha256: str | None = None,
) -> SinglePointResult:
    """Evaluate the structure once.

    Parameters
    ----------
    atoms
        Structure; not changed.
    calculator
        Model and dispersion.
    parameters
        What to return besides the energy.
    workdir
        Folder the evaluated structure is written to.
    structure_sha256
        Digest of the stored structure, for provenance.

    Raises
    ------
    InvalidFileError, UnsupportedElementError, UnphysicalError, OutOfMemoryError
        See `MeteredCalculator` and `common.begin`.
    """
    monitor = monitor or SilentMonitor()
    structure = begin(atoms, calculator, parameters)
    monitor.step(STAGE, 0, 1)
    structure.calc = calculator
    energy = float(structure.get_potential_energy())
    forces = calculator.results["forces"]
    stress = calculator.results.get("stress")
    max_force = float(np.linalg.norm(forces, axis=1).max())
    monitor.step(STAGE, 1, 1, energy_eV=energy, fmax_eV_A=max_force)

    workdir.mkdir(parents=True, exist_ok=True)
    evaluated = workdir / "evaluated.extxyz"
    write_structure(evaluated, frame(structure))

    warnings = []
    if parameters.compute_stress and stress is None:
        warnings.append("No stress: the structure is not periodic in three directions.")
    if not parameters.compute_stress:
        stress = None
    return SinglePointResult(
        converged=True,
        warnings=warnings,
        output_files=[output_file(evaluated, workdir)],
        provenance=provenance(atoms, calculator, structure_sha256),
        metrics=calculator.metrics(),
        energy_eV=energy,
        energy_per_atom_eV=energy / len(structure),
        forces_eV_A=forces.tolist() if parameters.compute_forces else None,
        max_force_eV_A=max_force if parameters.compute_forces else None,
        stress_GPa=None if stress is None else (stress * EV_A3_TO_GPA).tolist(),
        stress_eV_A3=None if stress is None else stress.tolist(),
        volume_A3=volume_A3(structure),
        density_g_cm3=density_g_cm3(structure),
        n_atoms=len(structure),
    )
