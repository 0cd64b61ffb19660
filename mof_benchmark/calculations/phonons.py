"""Harmonic phonons by finite displacements (phonopy): displacements, force constants, thermal properties.

Displacements are two-sided unless symmetry makes the second side redundant: one-sided differences
cost 3 % of Cv on real frameworks, since they keep the cubic terms.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.phonon.thermal_properties import GammaAcousticWarning
from phonopy.structure.atoms import PhonopyAtoms

from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters

IMAGINARY_BELOW_THZ = -0.01
"""Frequencies below this count as imaginary; the three acoustic modes at Γ are only numerically zero."""


@dataclass(frozen=True, kw_only=True)
class ThermalProperties:
    """Properties over temperature, per mole of cells.

    `free_energy_kJ_mol`, `entropy_J_mol_K` and `heat_capacity_J_mol_K` have the shape of
    `temperatures_K`. Modes with imaginary frequencies are left out of all three.
    """

    temperatures_K: NDArray[np.float64]
    free_energy_kJ_mol: NDArray[np.float64]
    entropy_J_mol_K: NDArray[np.float64]
    heat_capacity_J_mol_K: NDArray[np.float64]
    n_imaginary_modes: int
    n_mesh_modes: int
    lowest_frequency_THz: float
    mesh_numbers: tuple[int, int, int]


def make_phonopy(atoms: Atoms, parameters: HeatCapacityParameters, *, symprec: float = 1e-5) -> Phonopy:
    """Set up the displacements of `atoms` without reducing its cell (properties stay per cell)."""
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
    )
    phonon = Phonopy(
        cell, supercell_matrix=np.diag(parameters.supercell), primitive_matrix="P", symprec=symprec
    )
    phonon.generate_displacements(distance=parameters.displacement_A, is_plusminus="auto")
    return phonon


def displaced_structures(phonon: Phonopy) -> list[Atoms]:
    """The supercells to evaluate, in phonopy's order."""
    return [
        Atoms(numbers=cell.numbers, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
        for cell in phonon.supercells_with_displacements
    ]


def set_forces(phonon: Phonopy, forces: NDArray[np.float64]) -> None:
    """Make force constants from forces of shape (n_displacements, n_atoms, 3), eV/Å.

    The mean force of each supercell is removed first, and the constants are made symmetric and
    translation-invariant, so that the acoustic modes at Γ vanish.
    """
    phonon.forces = forces - forces.mean(axis=1, keepdims=True)
    phonon.produce_force_constants(show_drift=False)
    phonon.symmetrize_force_constants()


def thermal_properties(phonon: Phonopy, parameters: HeatCapacityParameters) -> ThermalProperties:
    """Sum over the q-point mesh (harmonic approximation)."""
    phonon.run_mesh(parameters.mesh)
    frequencies = np.asarray(phonon.mesh.frequencies)
    weights = np.asarray(phonon.mesh.weights)
    imaginary = np.sum((frequencies < IMAGINARY_BELOW_THZ) * weights[:, None])
    n_steps = int(np.floor((parameters.t_max - parameters.t_min) / parameters.t_step + 1e-9))
    thermal = _sums(phonon, np.arange(n_steps + 1, dtype=np.float64) * parameters.t_step + parameters.t_min)
    first, second, third = (int(n) for n in phonon.mesh_numbers)
    return ThermalProperties(
        temperatures_K=np.asarray(thermal.temperatures),
        free_energy_kJ_mol=np.asarray(thermal.free_energy),
        entropy_J_mol_K=np.asarray(thermal.entropy),
        heat_capacity_J_mol_K=np.asarray(thermal.heat_capacity),
        n_imaginary_modes=int(imaginary),
        n_mesh_modes=int(weights.sum()) * frequencies.shape[1],
        lowest_frequency_THz=float(frequencies.min()),
        mesh_numbers=(first, second, third),
    )


def heat_capacity_at(phonon: Phonopy, temperature_K: float) -> float:
    """Cv at one temperature, J/(mol K) per mole of cells; needs the mesh of `thermal_properties`."""
    return float(_sums(phonon, np.array([temperature_K])).heat_capacity[0])


def _sums(phonon: Phonopy, temperatures_K: NDArray[np.floating]) -> Any:
    with warnings.catch_warnings():
        # The three acoustic modes at Γ stay in, as in the benchmark: on a dense mesh they weigh nothing.
        warnings.simplefilter("ignore", GammaAcousticWarning)
        phonon.run_thermal_properties(temperatures=temperatures_K, cutoff_frequency=0.0)
    return phonon.thermal_properties


def softest_mode_at_gamma(phonon: Phonopy) -> tuple[float, NDArray[np.float64]]:
    """Frequency (THz, negative when imaginary) and Cartesian pattern of the softest mode at Γ.

    The pattern has shape (n_atoms, 3) and a largest atomic displacement of 1.
    """
    gamma = phonon.run_qpoints([[0.0, 0.0, 0.0]], with_eigenvectors=True)
    frequencies, eigenvectors = gamma.frequencies[0], gamma.eigenvectors[0]
    pattern = np.real(eigenvectors[:, 0]).reshape(-1, 3) / np.sqrt(phonon.primitive.masses)[:, None]
    return float(frequencies[0]), pattern / np.linalg.norm(pattern, axis=1).max()


def density_of_states(phonon: Phonopy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies (THz) and the phonon density of states (1/THz per cell) on the current mesh."""
    phonon.run_total_dos(use_tetrahedron_method=False, sigma=0.1, freq_pitch=0.05)
    return np.asarray(phonon.total_dos.frequency_points), np.asarray(phonon.total_dos.dos)


def write_bands(phonon: Phonopy, atoms: Atoms, path: Path, *, points_per_segment: int = 31) -> None:
    """Write phonopy's `band.yaml` along the Brillouin-zone path ASE gives for the cell's lattice."""
    band_path = atoms.cell.bandpath(npoints=0)
    segments, labels, connections = [], [], []
    for part in band_path.path.split(","):
        names = _point_names(part, set(band_path.special_points))
        for k, (start, end) in enumerate(pairwise(names)):
            ends = band_path.special_points[start], band_path.special_points[end]
            segments.append(np.linspace(*ends, points_per_segment))
            connections.append(k < len(names) - 2)
        labels.extend(names)
    phonon.run_band_structure(segments, path_connections=connections, labels=labels)
    phonon.write_yaml_band_structure(filename=path)


def _point_names(part: str, known: set[str]) -> list[str]:
    """Split `GXMG1` into special points, whose names may carry a digit."""
    names: list[str] = []
    for letter in part:
        if names and names[-1] + letter in known and letter.isdigit():
            names[-1] += letter
        else:
            names.append(letter)
    return names
