"""The fused network against the plain model of the same checkpoint."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator

from mof_benchmark.calculators import registry
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.fused import UnsupportedModelError, fuse
from mof_benchmark.calculators.fused.network import FusedNetwork
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.errors import UnphysicalError

MODELS = ("sevennet_prod", "sevennet_prod_l3i5")


@cache
def potential(name: str, dtype: str, accelerate: bool) -> Potential:
    card = registry.card(name)
    card = dataclasses.replace(card, settings={**card.settings, "accelerate": accelerate})
    return load_card(card, device="cpu", dtype=dtype, models_dir=Path("absent"))


@pytest.fixture(params=MODELS)
def pair(request: pytest.FixtureRequest) -> tuple[Potential, Potential]:
    """The same checkpoint plain and fused, in double, where rounding hides nothing."""
    plain, fused = (potential(request.param, "float64", accelerate) for accelerate in (False, True))
    assert plain.accelerator is None
    assert fused.accelerator
    return plain, fused


@pytest.fixture
def fused() -> Potential:
    return potential("sevennet_prod", "float32", True)


@pytest.fixture
def network() -> FusedNetwork:
    """In double, where sums in another order differ in the last of sixteen digits."""
    return potential("sevennet_prod", "float64", True).make_calculator()._passes._model.fused.network


def crystal() -> Atoms:
    """Rock salt with displaced atoms in a sheared cell."""
    atoms = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    atoms.set_cell(atoms.cell[:] @ [[1.0, 0.03, 0.0], [0.0, 1.01, 0.0], [0.02, 0.0, 1.0]], scale_atoms=True)
    atoms.rattle(0.08, seed=3)
    return atoms


def layered() -> Atoms:
    """A metal formate-like chain in vacuum along one direction: many elements, uneven surroundings."""
    atoms = molecule("HCOOH", vacuum=2.5)
    atoms += Atoms("ZnN", positions=[[1.0, 1.2, 4.0], [2.5, 0.5, 5.0]])
    atoms.pbc = True
    return atoms


def gas() -> Atoms:
    """An isolated molecule, no cell at all."""
    atoms = molecule("CO2")
    atoms.rattle(0.05, seed=1)
    return atoms


STRUCTURES = {"crystal": crystal, "layered": layered, "gas": gas}


def results(potential: Potential, atoms: Atoms) -> Calculator:
    calculator = potential.make_calculator()
    calculator.calculate(atoms.copy())
    return calculator.results


@pytest.mark.parametrize("structure", STRUCTURES)
def test_energy_forces_and_stress_equal_the_plain_model(
    pair: tuple[Potential, Potential], structure: str
) -> None:
    atoms = STRUCTURES[structure]()
    plain, fused = (results(potential, atoms) for potential in pair)
    assert fused["energy"] == pytest.approx(plain["energy"], abs=1e-8 * len(atoms))
    np.testing.assert_allclose(fused["energies"], plain["energies"], atol=1e-7)
    scale = max(1.0, np.abs(plain["forces"]).max())
    np.testing.assert_allclose(fused["forces"], plain["forces"], atol=1e-6 * scale)
    if atoms.pbc.all():
        np.testing.assert_allclose(fused["stress"], plain["stress"], atol=1e-7)


@pytest.mark.parametrize("name", ["RSM0004", "MgMOF74"])
def test_a_real_framework_gets_the_plain_answer_in_single_precision(
    name: str, data: Path, fused: Potential
) -> None:
    exact = potential("sevennet_prod", "float64", False)
    atoms = ase.io.read(data / "structures" / f"{name}.cif")
    plain, ours = results(exact, atoms), results(fused, atoms)
    assert ours["energy"] == pytest.approx(plain["energy"], abs=1e-6 * len(atoms))
    np.testing.assert_allclose(
        ours["forces"], plain["forces"], atol=2e-5 + 1e-5 * np.abs(plain["forces"]).max()
    )
    np.testing.assert_allclose(ours["stress"], plain["stress"], atol=1e-6)


def test_forces_and_stress_are_derivatives_of_the_energy(pair: tuple[Potential, Potential]) -> None:
    atoms, calculator = crystal(), pair[1].make_calculator()

    def energy(changed: Atoms) -> float:
        calculator.calculate(changed)
        return float(calculator.results["energy"])

    calculator.calculate(atoms)
    forces, stress, h = calculator.results["forces"], calculator.results["stress"], 1e-4
    for atom, axis in ((0, 0), (3, 2), (6, 1)):
        ends = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * h
            ends.append(energy(moved))
        assert forces[atom, axis] == pytest.approx(-(ends[0] - ends[1]) / (2 * h), abs=1e-5)
    for voigt, (a, b) in {0: (0, 0), 3: (1, 2)}.items():
        ends = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h / 2
            strain[b, a] += sign * h / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
            ends.append(energy(strained))
        slope = (ends[0] - ends[1]) / (2 * h) / atoms.get_volume()
        assert stress[voigt] == pytest.approx(slope, abs=1e-6)


def test_threads_that_share_the_weights_get_the_same_answers(fused: Potential) -> None:
    structures = []
    for seed in range(8):
        atoms = crystal()
        atoms.rattle(0.05, seed=seed)
        structures.append(atoms)
    alone = [results(fused, atoms)["forces"] for atoms in structures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda atoms: results(fused, atoms)["forces"], structures))
    for one, other in zip(alone, together, strict=True):
        # Not to the last bit: matrix products of another thread may be cut into other pieces.
        np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())


def test_edges_in_any_order_give_the_same_forces(network: FusedNetwork) -> None:
    rng = np.random.default_rng(0)
    centre, neighbour = np.repeat([0, 1, 2], 2), np.array([1, 2, 0, 2, 0, 1])
    places = np.array([[0.0, 0.0, 0.0], [1.6, 0.2, 0.0], [0.3, 1.7, 0.4]])
    vectors = places[neighbour] - places[centre]
    species = np.array([3, 5, 7])
    order = rng.permutation(6)
    sorted_, shuffled = (
        network.evaluate(species, vectors[o], centre[o], neighbour[o]) for o in (np.arange(6), order)
    )
    largest = np.abs(sorted_.forces_eV_A).max()
    np.testing.assert_allclose(shuffled.forces_eV_A, sorted_.forces_eV_A, atol=1e-11 * largest)
    np.testing.assert_allclose(sorted_.forces_eV_A.sum(axis=0), 0, atol=1e-11 * largest)


def test_a_distance_that_is_no_number_is_refused(network: FusedNetwork) -> None:
    vectors = np.array([[np.nan, 0, 0], [1.0, 0, 0]])
    with pytest.raises(UnphysicalError, match="finite"):
        network.evaluate(np.array([0, 1]), vectors, np.array([0, 1]), np.array([1, 0]))


def test_an_unknown_model_is_refused_and_left_as_it_was() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(UnsupportedModelError, match="edge_embedding"):
        fuse(model)
    assert len(model) == 1


def test_importing_the_package_compiles_nothing_and_loads_no_model() -> None:
    program = (
        "import torch; before = torch.get_num_threads()\n"
        "import mof_benchmark.calculators.fused\n"
        "from mof_benchmark.calculators.fused import machine_code\n"
        "assert machine_code.compiled.cache_info().currsize == 0\n"
        "assert torch.get_num_threads() == before"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
