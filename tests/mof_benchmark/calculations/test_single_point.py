"""Single points: the benchmark's numbers, and every unusual structure."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.mixing import SumCalculator
from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator

from mof_benchmark.calculations import single_point
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.schemas import SinglePointParameters
from mof_benchmark.units import EV_A3_TO_GPA


@pytest.mark.parametrize("name", ["RSM0004", "RSM0009"])
def test_a_single_point_equals_the_benchmark_s_own_calculator(
    name: str, data: Path, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    from sevenn.calculator import SevenNetCalculator  # e3nn needs the adapter's allow-list first

    atoms = ase.io.read(data / "structures" / f"{name}.cif")
    ours = single_point.run(atoms, calculator, SinglePointParameters(), workdir=tmp_path)
    model = SevenNetCalculator("7net-0", device="cpu")
    dispersion = TorchDFTD3Calculator(damping="bj", xc="pbe", cutoff=40.0 * units.Bohr)
    theirs = atoms.copy()
    theirs.calc = SumCalculator([model, dispersion])
    # Its own total is a float32: rounded by half of what is allowed.
    theirs.get_potential_energy()
    exact = model.results["energies"].sum(dtype=float) + dispersion.results["energy"]
    assert ours.energy_per_atom_eV == pytest.approx(exact / len(atoms), abs=1e-6)
    np.testing.assert_allclose(ours.forces_eV_A, theirs.get_forces(), atol=1e-4)
    np.testing.assert_allclose(ours.stress_eV_A3, theirs.get_stress(), atol=1e-5)


def test_the_result_carries_units_files_and_what_computed_it(
    calculator: MeteredCalculator, magnesia: Atoms, tmp_path: Path
) -> None:
    untouched = magnesia.copy()
    result = single_point.run(magnesia, calculator, SinglePointParameters(), workdir=tmp_path)
    assert magnesia == untouched
    assert result.energy_eV == pytest.approx(2 * result.energy_per_atom_eV)
    assert result.stress_GPa == pytest.approx([value * EV_A3_TO_GPA for value in result.stress_eV_A3 or []])
    assert result.density_g_cm3 == pytest.approx(3.5, abs=0.2)
    assert result.metrics.force_evaluations == 1
    assert result.provenance.model == "sevennet_prod"
    assert result.provenance.d3 is not None
    assert len(result.provenance.structure_sha256) == 64
    evaluated = ase.io.read(tmp_path / result.output_files[0].path)
    assert evaluated.get_potential_energy() == pytest.approx(result.energy_eV, abs=1e-6)


def test_what_was_not_asked_for_is_left_out(
    calculator: MeteredCalculator, magnesia: Atoms, tmp_path: Path
) -> None:
    parameters = SinglePointParameters(compute_forces=False, compute_stress=False, with_d3=False)
    result = single_point.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.forces_eV_A is None
    assert result.stress_GPa is None
    assert result.provenance.d3 is None


def test_a_molecule_without_a_cell_has_no_volume_and_no_stress(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    result = single_point.run(molecule("H2O"), calculator, SinglePointParameters(), workdir=tmp_path)
    assert (result.volume_A3, result.density_g_cm3, result.stress_GPa) == (None, None, None)
    assert result.warnings


def test_a_single_atom_in_a_cell_is_evaluated(calculator: MeteredCalculator, tmp_path: Path) -> None:
    copper = Atoms("Cu", cell=[2.55] * 3, pbc=True)
    result = single_point.run(copper, calculator, SinglePointParameters(), workdir=tmp_path)
    assert result.n_atoms == 1
    assert result.max_force_eV_A == pytest.approx(0.0, abs=1e-4)


def test_three_thousand_atoms_are_evaluated(
    data: Path, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    atoms = ase.io.read(data / "structures" / "HABRAF_full.cif")
    result = single_point.run(atoms, calculator, SinglePointParameters(), workdir=tmp_path)
    assert result.n_atoms == 2976
    assert -10 < result.energy_per_atom_eV < -3
    assert np.abs(np.sum(result.forces_eV_A or [], axis=0)).max() < 1e-2


@pytest.mark.parametrize(
    "broken",
    [
        Atoms(),
        Atoms("Cu2", positions=[[0, 0, 0], [0, 0, np.nan]]),
        Atoms("Cu", cell=[[1, 0, 0], [0, 1, 0], [1, 1, 0]], pbc=True),
    ],
    ids=["no atoms", "a position that is not a number", "a cell without volume"],
)
def test_a_structure_that_is_none_is_refused(
    broken: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    with pytest.raises(InvalidFileError) as caught:
        single_point.run(broken, calculator, SinglePointParameters(), workdir=tmp_path)
    assert caught.value.code == 40005
