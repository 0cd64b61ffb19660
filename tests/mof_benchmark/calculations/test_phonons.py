"""Phonons against what is known without any potential of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT

from mof_benchmark.calculations.phonons import (
    displaced_structures,
    heat_capacity_at,
    make_phonopy,
    set_forces,
    softest_mode_at_gamma,
    thermal_properties,
    write_bands,
)
from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters

GAS_CONSTANT = units.kB * units.mol / units.J


def copper_phonons(parameters: HeatCapacityParameters, *, stretch: float = 1.0) -> tuple[Atoms, object]:
    copper = bulk("Cu", "fcc", a=3.59 * stretch, cubic=True)
    phonon = make_phonopy(copper, parameters)
    forces = []
    for atoms in displaced_structures(phonon):
        atoms.calc = EMT()
        forces.append(atoms.get_forces())
    set_forces(phonon, np.array(forces))
    return copper, phonon


def test_the_heat_capacity_reaches_dulong_and_petit() -> None:
    parameters = HeatCapacityParameters(supercell=(3, 3, 3), mesh=40, t_min=0, t_max=3000, t_step=500)
    copper, phonon = copper_phonons(parameters)
    thermal = thermal_properties(phonon, parameters)
    assert thermal.heat_capacity_J_mol_K[0] == pytest.approx(0, abs=1e-6)
    assert thermal.heat_capacity_J_mol_K[-1] == pytest.approx(3 * len(copper) * GAS_CONSTANT, rel=2e-3)
    assert np.all(np.diff(thermal.heat_capacity_J_mol_K) > 0)
    assert thermal.n_imaginary_modes == 0
    assert heat_capacity_at(phonon, 1000.0) == pytest.approx(thermal.heat_capacity_J_mol_K[2], rel=1e-9)


def test_imaginary_modes_are_counted_and_left_out() -> None:
    parameters = HeatCapacityParameters(supercell=(2, 2, 2), mesh=20, t_max=300, t_step=100)
    copper, phonon = copper_phonons(parameters, stretch=1.2)
    thermal = thermal_properties(phonon, parameters)
    assert thermal.n_imaginary_modes > 0
    assert thermal.lowest_frequency_THz < 0
    share = thermal.n_imaginary_modes / thermal.n_mesh_modes
    assert thermal.heat_capacity_J_mol_K[-1] < (1 - 0.5 * share) * 3 * len(copper) * GAS_CONSTANT


def test_displacements_without_symmetry_are_two_sided() -> None:
    rattled = bulk("Cu", "fcc", a=3.59, cubic=True)
    rattled.rattle(0.05, seed=1)
    assert len(displaced_structures(make_phonopy(rattled, HeatCapacityParameters()))) == 6 * len(rattled)


def test_the_acoustic_modes_at_gamma_vanish() -> None:
    _, phonon = copper_phonons(HeatCapacityParameters(supercell=(2, 2, 2)))
    frequency, pattern = softest_mode_at_gamma(phonon)
    assert frequency == pytest.approx(0, abs=1e-3)
    assert np.linalg.norm(pattern, axis=1).max() == pytest.approx(1)


def test_the_band_file_follows_the_path_of_the_lattice(tmp_path: Path) -> None:
    copper, phonon = copper_phonons(HeatCapacityParameters(supercell=(2, 2, 2)))
    write_bands(phonon, copper, tmp_path / "band.yaml")
    text = (tmp_path / "band.yaml").read_text()
    assert "[ 'G', 'X' ]" in text
    assert "[ 'M', 'R' ]" in text
