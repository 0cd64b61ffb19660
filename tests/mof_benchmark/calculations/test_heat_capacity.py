"""Heat capacity with the real model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes

from mof_benchmark.calculations import heat_capacity
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.monitor import SilentMonitor
from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters

QUICK = {"mesh": 20, "t_max": 600, "t_step": 100}


def test_rsm0004_has_the_reference_heat_capacity(
    rsm0004: Atoms, reference: dict[str, Any], calculator: MeteredCalculator, tmp_path: Path
) -> None:
    result = heat_capacity.run(rsm0004, calculator, HeatCapacityParameters(), workdir=tmp_path)
    expected = reference["RSM0004"]["heat_capacity"]
    assert result.converged
    assert result.heat_capacity_300K_J_mol_K == pytest.approx(expected["cv_300K_J_molK"], rel=0.005)
    assert result.heat_capacity_300K_J_g_K == pytest.approx(expected["cv_300K_J_gK"], rel=0.005)
    assert result.heat_capacity_J_mol_K[10] == pytest.approx(expected["cv_100K_J_molK"], rel=0.005)
    assert result.entropy_J_mol_K[30] == pytest.approx(expected["entropy_300K_J_molK"], rel=0.005)
    assert result.free_energy_kJ_mol[30] == pytest.approx(expected["free_energy_300K_kJ_mol"], rel=0.005)
    assert result.n_displacements == 6 * len(rsm0004)
    # This model leaves RSM0004 at a saddle of larger cells: the result must say so.
    assert result.n_imaginary_modes > 1000
    assert any("imaginary" in warning for warning in result.warnings)
    assert all((tmp_path / file.path).stat().st_size > 0 for file in result.output_files)


def test_force_evaluations_are_counted_over_all_stages(calculator: MeteredCalculator, tmp_path: Path) -> None:
    magnesia = bulk("MgO", "rocksalt", a=4.3)
    parameters = HeatCapacityParameters(**QUICK, supercell=(2, 2, 2))
    result = heat_capacity.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.n_displacements == 2
    assert result.metrics.force_evaluations > result.n_displacements + 1
    assert result.n_imaginary_modes == 0
    assert 30 < result.heat_capacity_J_mol_K[3] < 49.9
    assert result.heat_capacity_300K_J_mol_K == pytest.approx(result.heat_capacity_J_mol_K[3])


def test_displacements_in_parts_are_those_of_the_whole(
    calculator: MeteredCalculator, magnesia: Atoms
) -> None:
    parameters = HeatCapacityParameters(**QUICK)
    assert heat_capacity.count_displacements(magnesia, parameters) == 12
    whole = heat_capacity.displacements(magnesia, calculator, parameters, monitor=SilentMonitor())
    parts = [
        heat_capacity.displacements(magnesia, calculator, parameters, monitor=SilentMonitor(), only=part)
        for part in (slice(0, 5), slice(5, 12))
    ]
    assert np.allclose(np.concatenate(parts), whole, atol=1e-6)


def test_symmetry_saves_displacements_and_gives_the_same_heat_capacity(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    magnesia = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    magnesia.rattle(5e-4, seed=2)
    plain, symmetric = (
        heat_capacity.run(
            magnesia,
            calculator,
            # On a coarse mesh the acoustic modes at Γ would count, whose sign is noise.
            HeatCapacityParameters(**QUICK | {"mesh": 60}, fmax=0.01, symmetrize=wanted),
            workdir=tmp_path / str(wanted),
        )
        for wanted in (False, True)
    )
    assert (plain.n_displacements, symmetric.n_displacements) == (48, 2)
    # Images at equal distance are shared out in the symmetric cell only, which shows in one so small.
    assert symmetric.heat_capacity_300K_J_mol_K == pytest.approx(plain.heat_capacity_300K_J_mol_K, rel=1e-2)
    assert plain.symmetrization is None
    assert symmetric.symmetrization is not None
    assert symmetric.symmetrization.accepted
    assert symmetric.symmetrization.space_group == "Fm-3m (225)"


class Wells(Calculator):
    """Every atom bound to a place 0.02 Å beside the symmetric one."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, places: np.ndarray) -> None:
        super().__init__()
        self.places = places

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        away, stiffness = self.atoms.positions - self.places, 20.0
        energy = 0.5 * stiffness * float((away**2).sum())
        self.results = {"energy": energy, "forces": -stiffness * away, "stress": np.zeros(6)}


def test_symmetry_that_costs_energy_is_not_taken(sevennet: Potential) -> None:
    relaxed = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    relaxed.positions[0, 2] += 0.02
    potential = dataclasses.replace(sevennet, make_calculator=lambda: Wells(relaxed.positions.copy()))
    structure, found = heat_capacity.symmetrized(
        relaxed,
        MeteredCalculator(potential, with_d3=False),
        HeatCapacityParameters(symmetrize=True),
        monitor=SilentMonitor(),
    )
    assert found is not None
    assert found.space_group == "P4mm (99)"
    assert np.allclose(structure.get_distances(0, [1], mic=True), relaxed.get_distances(0, [1], mic=True))


def test_a_saddle_is_left_along_its_imaginary_mode_when_asked(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    # Cubic BaTiO3: titanium wants to leave the middle of its cage.
    titanate = Atoms(
        "BaTiO3",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        cell=[4.05] * 3,
        pbc=True,
    )
    stay, leave = (
        heat_capacity.run(
            titanate,
            calculator,
            HeatCapacityParameters(**QUICK, fmax=0.01, fix_imaginary=wanted),
            workdir=tmp_path / str(wanted),
        )
        for wanted in (False, True)
    )
    assert stay.n_imaginary_modes > 0
    assert leave.lowest_frequency_THz > stay.lowest_frequency_THz + 1
    assert any("saddle" in warning for warning in leave.warnings)


def test_a_molecule_has_no_phonons(calculator: MeteredCalculator, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="periodic"):
        heat_capacity.run(molecule("CO2"), calculator, HeatCapacityParameters(), workdir=tmp_path)
