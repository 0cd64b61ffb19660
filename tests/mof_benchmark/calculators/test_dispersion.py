"""The dispersion correction against the library the benchmark uses."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator

from mof_benchmark.calculators import dense_dispersion
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.dispersion import CpuDispersion, GpuDispersion
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.structures import builtin


def torch_dftd(atoms: Atoms) -> dict[str, np.ndarray]:
    """The benchmark's own dispersion call, in double precision."""
    calculator = TorchDFTD3Calculator(damping="bj", xc="pbe", cutoff=40.0 * units.Bohr, dtype=torch.float64)
    calculator.calculate(atoms, ["energy", "forces", "stress"])
    return dict(calculator.results)


@pytest.mark.parametrize("name", ["RSM0004", "MgMOF74"])
def test_dispersion_equals_torch_dftd_on_real_frameworks(name: str, data: Path) -> None:
    atoms = ase.io.read(data / "structures" / f"{name}.cif")
    ours, theirs = CpuDispersion().evaluate(atoms), torch_dftd(atoms)
    assert ours["energy"] == pytest.approx(theirs["energy"], abs=1e-6 * len(atoms))
    np.testing.assert_allclose(ours["forces"], theirs["forces"], atol=1e-5)
    np.testing.assert_allclose(ours["stress"], theirs["stress"], atol=1e-7)


def test_dispersion_equals_torch_dftd_on_a_molecule() -> None:
    benzene = molecule("C6H6")
    ours, theirs = CpuDispersion().evaluate(benzene), torch_dftd(benzene)
    assert ours["energy"] == pytest.approx(theirs["energy"], abs=1e-8)
    assert "stress" not in ours


def test_a_correction_used_for_one_structure_is_right_for_the_next(magnesia: Atoms) -> None:
    used = CpuDispersion()
    strained = magnesia.copy()
    strained.set_cell(magnesia.cell[:] * 1.03, scale_atoms=True)
    for atoms in (magnesia, strained, molecule("C6H6"), magnesia.repeat((2, 1, 1)), magnesia):
        assert used.evaluate(atoms)["energy"] == pytest.approx(
            CpuDispersion().evaluate(atoms)["energy"], rel=1e-12
        )


def test_switching_dispersion_adds_exactly_the_correction(sevennet: Potential, magnesia: Atoms) -> None:
    calculator = MeteredCalculator(sevennet, with_d3=False)
    magnesia.calc = calculator
    bare = magnesia.get_potential_energy()
    calculator.with_d3 = True
    corrected = magnesia.get_potential_energy()
    assert corrected - bare == pytest.approx(CpuDispersion().evaluate(magnesia)["energy"], abs=1e-9)
    assert corrected < bare - 0.1


def test_the_settings_say_everything_that_decides_the_numbers() -> None:
    settings = CpuDispersion().settings()
    assert settings["s8"] == 0.7875
    assert settings["s9"] == 0.0
    assert settings["cutoff_A"] == pytest.approx(21.167, abs=1e-3)
    assert "dftd3" in str(settings["library"])


def chain() -> Atoms:
    """Periodic along one direction, its cell shorter than the cutoff."""
    atoms = molecule("HCOOH", vacuum=4.0)
    atoms.pbc = [False, False, True]
    return atoms


def sheared() -> Atoms:
    """A flat cell with atoms outside of it."""
    atoms = bulk("MgO", "rocksalt", a=4.2)
    atoms.set_cell(atoms.cell[:] @ [[1.0, 0.6, 0.0], [0.0, 1.0, 0.0], [0.0, 0.4, 0.8]], scale_atoms=True)
    atoms.positions += 25.0
    return atoms


DENSE = {
    "molecule": lambda: molecule("C6H6"),
    "chain": chain,
    "sheared": sheared,
    "Mg-MOF-74": lambda: builtin.build("Mg-MOF-74"),
    "HKUST-1": lambda: builtin.build("HKUST-1"),
}


@pytest.mark.parametrize("at_once", [1 << 22, 2000], ids=["in one", "in blocks"])
@pytest.mark.parametrize("name", DENSE)
def test_the_dense_correction_equals_simple_dftd3(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense_dispersion, "_DISTANCES_AT_ONCE", at_once)
    atoms = DENSE[name]()
    atoms.rattle(0.05, seed=4)
    dense, library = GpuDispersion("cpu").evaluate(atoms), CpuDispersion().evaluate(atoms)
    assert dense.keys() == library.keys()
    assert dense["energy"] == pytest.approx(library["energy"], abs=2e-8 * len(atoms))
    np.testing.assert_allclose(dense["forces"], library["forces"], atol=5e-7)
    if "stress" in library:
        np.testing.assert_allclose(dense["stress"], library["stress"], atol=1e-8)
