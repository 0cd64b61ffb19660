"""Heat capacity with the real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mof_benchmark.calculations import heat_capacity
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


def test_a_molecule_has_no_phonons(calculator: MeteredCalculator, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="periodic"):
        heat_capacity.run(molecule("CO2"), calculator, HeatCapacityParameters(), workdir=tmp_path)
