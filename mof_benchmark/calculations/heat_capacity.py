"""Heat capacity of a crystal: relax, displace, evaluate, sum over phonons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.spacegroup.symmetrize import refine_symmetry
from numpy.typing import NDArray
from phonopy import Phonopy

from mof_benchmark.calculations.common import computed_with, require_crystal, write_whole
from mof_benchmark.calculations.phonons import (
    ThermalProperties,
    density_of_states,
    displaced_structures,
    heat_capacity_at,
    make_phonopy,
    set_forces,
    softest_mode_at_gamma,
    thermal_properties,
    write_bands,
)
from mof_benchmark.calculations.preparation import bare, relax_first, total
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.outputs import output_file
from mof_benchmark.plots.style import save
from mof_benchmark.plots.thermal import plot_density_of_states, plot_heat_capacity
from mof_benchmark.schemas.common import Metrics, OutputFile
from mof_benchmark.schemas.heat_capacity import (
    HeatCapacityParameters,
    HeatCapacityResult,
    Symmetrization,
)
from mof_benchmark.schemas.optimization import OptimizationParameters, OptimizationResult
from mof_benchmark.schemas.protocol import overruled, settled
from mof_benchmark.structures.summary import find_space_group

ROOM_TEMPERATURE_K = 300.0
IMAGINARY_AT_GAMMA_THZ = -0.1
"""Acoustic modes at Γ are zero only up to numerical noise; below this a mode is imaginary."""
PERTURBATION_A = 0.1
"""Largest atomic displacement along an imaginary mode before relaxing again."""
SYMMETRY_TOLERANCES_A = (0.03, 0.01, 0.003)
EXACT_A = 1e-4
SYMMETRIC_ABOVE_MEV, SYMMETRIC_FORCE_EV_A = 1.0, 0.02
"""A symmetric structure no higher than this above the relaxed one (per cell), with no larger force,
has the same phonons."""


def run(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: HeatCapacityParameters,
    *,
    workdir: Path,
    monitor: Monitor | None = None,
    structure_sha256: str | None = None,
) -> HeatCapacityResult:
    """Compute the harmonic heat capacity, all stages in one process.

    Parameters
    ----------
    atoms
        Periodic structure; not changed.

    Raises
    ------
    InvalidFileError
        The structure is not periodic in three directions.
    MofsimError
        As `optimization.run`.
    """
    monitor = monitor or SilentMonitor()
    relaxed, relaxation = opt(
        atoms, calculator, parameters, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )
    calculator.start()
    structure, symmetrization = symmetrized(relaxed, calculator, parameters, monitor=monitor)
    forces = displacements(structure, calculator, parameters, monitor=monitor)
    spent = [relaxation.metrics, calculator.metrics()]
    constants = force_constants(structure, forces, parameters)
    return thermal(
        structure,
        constants,
        len(forces),
        relaxation,
        spent,
        parameters,
        symmetrization=symmetrization,
        workdir=workdir,
    )


def opt(
    atoms: Atoms,
    calculator: MeteredCalculator,
    parameters: HeatCapacityParameters,
    *,
    workdir: Path,
    monitor: Monitor,
    structure_sha256: str | None = None,
) -> tuple[Atoms, OptimizationResult]:
    """Relax atoms and cell; with `fix_imaginary`, once more from beside an imaginary mode at Γ."""
    parameters = settled(parameters)
    require_crystal(atoms, "Phonons need")
    settings = OptimizationParameters(
        fmax=parameters.fmax,
        max_steps=parameters.max_steps,
        optimizer=parameters.optimizer,
        with_d3=parameters.with_d3,
    )
    relaxed, result = relax_first(
        atoms, calculator, settings, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )
    if not parameters.fix_imaginary:
        return relaxed, result
    gamma_only = parameters.model_copy(update={"supercell": (1, 1, 1)})
    calculator.start()
    phonon = make_phonopy(relaxed, gamma_only)
    set_forces(phonon, displacements(relaxed, calculator, gamma_only, monitor=monitor))
    searching = calculator.metrics()
    frequency, pattern = softest_mode_at_gamma(phonon)
    if frequency > IMAGINARY_AT_GAMMA_THZ:
        return relaxed, result.model_copy(update={"metrics": total([result.metrics, searching])})
    monitor.log("INFO", f"Leaving the saddle along a mode of {frequency:.3f} THz", frequency_THz=frequency)
    beside = relaxed.copy()
    beside.positions += PERTURBATION_A * pattern
    again, second = relax_first(
        beside, calculator, settings, workdir=workdir, monitor=monitor, structure_sha256=structure_sha256
    )
    note = f"Relaxed again from beside a saddle point with a mode of {frequency:.3f} THz."
    spent = total([result.metrics, searching, second.metrics])
    return again, second.model_copy(update={"warnings": [*second.warnings, note], "metrics": spent})


def symmetrized(
    relaxed: Atoms, calculator: MeteredCalculator, parameters: HeatCapacityParameters, *, monitor: Monitor
) -> tuple[Atoms, Symmetrization | None]:
    """Give the relaxed structure the highest exact symmetry that costs nothing, where asked for.

    A framework's most symmetric point may lie beside its minimum, with other phonons. So looser
    tolerances come first, and the first structure that is as low as the relaxed one is taken.
    """
    if not settled(parameters).symmetrize:
        return relaxed, None
    start = bare(relaxed)
    start.calc = calculator
    energy = float(start.get_potential_energy())
    for tolerance_A in SYMMETRY_TOLERANCES_A:
        symmetric = bare(relaxed)
        refine_symmetry(symmetric, tolerance_A)
        symmetric.calc = calculator
        above_meV = 1e3 * (float(symmetric.get_potential_energy()) - energy)
        largest = float(np.linalg.norm(symmetric.get_forces(), axis=1).max())
        found = Symmetrization(
            accepted=above_meV <= SYMMETRIC_ABOVE_MEV and largest <= SYMMETRIC_FORCE_EV_A,
            space_group=find_space_group(symmetric, EXACT_A),
            energy_above_relaxed_meV=above_meV,
            max_force_eV_A=largest,
        )
        verdict = "taken" if found.accepted else "not taken: it is another structure"
        monitor.log("INFO", f"Symmetry {found.space_group} is {verdict}.", **found.model_dump())
        if found.accepted:
            return bare(symmetric), found
    return relaxed, found


def count_displacements(relaxed: Atoms, parameters: HeatCapacityParameters) -> int:
    """Number of displaced supercells that symmetry leaves."""
    return len(displaced_structures(make_phonopy(relaxed, settled(parameters))))


def displacements(
    relaxed: Atoms,
    calculator: MeteredCalculator,
    parameters: HeatCapacityParameters,
    *,
    monitor: Monitor,
    only: slice = slice(None),
) -> NDArray[np.float64]:
    """Forces of displaced supercells, shape (n, n_atoms, 3), eV/Å: of all, or of a part of them."""
    structures = displaced_structures(make_phonopy(relaxed, settled(parameters)))
    numbers = range(len(structures))[only]
    monitor.step("displacements", numbers[0], len(structures))
    forces = []
    for number, found in zip(numbers, calculator.evaluate_many(structures[only]), strict=True):
        forces.append(found["forces"])
        monitor.step("displacements", number + 1, len(structures))
    return np.array(forces)


def force_constants(
    relaxed: Atoms, forces: NDArray[np.float64], parameters: HeatCapacityParameters
) -> NDArray[np.float64]:
    """Force constants, shape (n_atoms, n_atoms, 3, 3) of the supercell, eV/Å²."""
    phonon = make_phonopy(relaxed, settled(parameters))
    set_forces(phonon, forces)
    return np.asarray(phonon.force_constants)


def thermal(
    relaxed: Atoms,
    constants: NDArray[np.float64],
    n_displacements: int,
    relaxation: OptimizationResult,
    spent: Sequence[Metrics],
    parameters: HeatCapacityParameters,
    *,
    symmetrization: Symmetrization | None = None,
    workdir: Path,
) -> HeatCapacityResult:
    """Sums over the mesh, files and judgement; `spent` is what the stages before cost."""
    overruling, parameters = overruled(parameters), settled(parameters)
    workdir.mkdir(parents=True, exist_ok=True)
    phonon = make_phonopy(relaxed, parameters)
    phonon.force_constants = constants
    properties = thermal_properties(phonon, parameters)
    in_range = parameters.t_min <= ROOM_TEMPERATURE_K <= parameters.t_max
    at_room = heat_capacity_at(phonon, ROOM_TEMPERATURE_K) if in_range else None
    grams = float(relaxed.get_masses().sum())
    return HeatCapacityResult(
        converged=relaxation.converged,
        warnings=[
            *overruling,
            *relaxation.warnings,
            *_judgement(properties, relaxation, symmetrization),
        ],
        output_files=[*relaxation.output_files, *_write_files(phonon, relaxed, properties, workdir)],
        provenance=computed_with(relaxation.provenance, "phonopy", "spglib"),
        metrics=total(spent),
        temperatures_K=properties.temperatures_K.tolist(),
        heat_capacity_J_mol_K=properties.heat_capacity_J_mol_K.tolist(),
        heat_capacity_J_g_K=(properties.heat_capacity_J_mol_K / grams).tolist(),
        entropy_J_mol_K=properties.entropy_J_mol_K.tolist(),
        free_energy_kJ_mol=properties.free_energy_kJ_mol.tolist(),
        heat_capacity_300K_J_mol_K=at_room,
        heat_capacity_300K_J_g_K=None if at_room is None else at_room / grams,
        n_imaginary_modes=properties.n_imaginary_modes,
        n_mesh_modes=properties.n_mesh_modes,
        lowest_frequency_THz=properties.lowest_frequency_THz,
        n_displacements=n_displacements,
        mesh_numbers=properties.mesh_numbers,
        final_fmax_eV_A=relaxation.final_fmax,
        symmetrization=symmetrization,
    )


def _write_files(
    phonon: Phonopy, relaxed: Atoms, properties: ThermalProperties, workdir: Path
) -> list[OutputFile]:
    frequencies, density = density_of_states(phonon)
    dos = workdir / "phonon_dos.csv"
    table = np.column_stack([frequencies, density])
    write_whole(
        dos,
        lambda path: np.savetxt(path, table, delimiter=",", header="frequency_THz,dos_per_THz", comments=""),
    )
    bands = workdir / "band.yaml"
    write_whole(bands, lambda path: write_bands(phonon, relaxed, path))
    parameters = workdir / "phonopy_params.yaml"
    write_whole(parameters, lambda path: phonon.save(path, settings={"force_constants": True}))
    formula = relaxed.get_chemical_formula("hill")
    figures = {
        "heat_capacity": plot_heat_capacity(
            properties.temperatures_K, properties.heat_capacity_J_mol_K, n_atoms=len(relaxed), title=formula
        ),
        "phonon_dos": plot_density_of_states(frequencies, density, title=formula),
    }
    plots = [path for stem, figure in figures.items() for path in save(figure, workdir / stem)]
    return [output_file(path, workdir) for path in (dos, bands, parameters, *plots)]


def _judgement(
    properties: ThermalProperties, relaxation: OptimizationResult, symmetrization: Symmetrization | None
) -> list[str]:
    warnings = []
    if symmetrization is not None and not symmetrization.accepted:
        warnings.append(
            f"Not symmetrized: {symmetrization.space_group} lies "
            f"{symmetrization.energy_above_relaxed_meV:.2f} meV per cell above the relaxed structure, with "
            f"forces up to {symmetrization.max_force_eV_A:.3g} eV/Å; its phonons would be others."
        )
    if properties.n_imaginary_modes:
        share = 100 * properties.n_imaginary_modes / properties.n_mesh_modes
        warnings.append(
            f"{properties.n_imaginary_modes} of {properties.n_mesh_modes} modes ({share:.2g} %) are "
            f"imaginary, down to {properties.lowest_frequency_THz:.3f} THz, and left out. "
            "The structure is not at a "
            "minimum of this supercell, or needs a larger one; fix_imaginary may help."
        )
    if properties.n_imaginary_modes and symmetrization is not None and symmetrization.accepted:
        warnings.append(
            f"The symmetric structure ({symmetrization.space_group}) may be a saddle: compare without "
            "symmetrize."
        )
    if not relaxation.converged:
        warnings.append("The phonons are those of a structure whose relaxation did not converge.")
    return warnings
