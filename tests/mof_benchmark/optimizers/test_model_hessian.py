"""The model Hessian and the optimizer that starts from it, on ASE's potentials and one real MOF."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.filters import ExpCellFilter, FrechetCellFilter, StrainFilter, UnitCellFilter
from ase.optimize import LBFGS

from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidParameterError
from mof_benchmark.optimizers import ModelHessianLBFGS, SpringModel
from mof_benchmark.optimizers.springs import Coordinates, model_hessian


def alloy() -> Atoms:
    """Disordered metal in a wrong, sheared cell."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 1)
    atoms.numbers[::3] = 79
    atoms.set_cell(atoms.cell[:] @ [[1.03, 0.02, 0], [0, 1.0, 0], [0, 0.01, 1.05]], scale_atoms=True)
    atoms.rattle(0.1, seed=5)
    atoms.calc = EMT()
    return atoms


def test_both_optimizers_reach_the_same_minimum_of_atoms_and_cell() -> None:
    usual, fast = alloy(), alloy()
    LBFGS(FrechetCellFilter(usual), logfile=None).run(fmax=1e-3, steps=500)
    optimizer = ModelHessianLBFGS(FrechetCellFilter(fast))
    assert optimizer.run(fmax=1e-3, steps=500)
    assert fast.get_potential_energy() == pytest.approx(usual.get_potential_energy(), abs=1e-4 * len(fast))
    assert fast.get_volume() == pytest.approx(usual.get_volume(), rel=1e-3)


def test_a_real_framework_needs_far_fewer_steps_and_ends_no_higher(
    rsm0004: Atoms, calculator: MeteredCalculator
) -> None:
    usual, fast = rsm0004.copy(), rsm0004.copy()
    usual.calc = fast.calc = calculator
    slow = LBFGS(FrechetCellFilter(usual), logfile=None)
    slow.run(fmax=1e-3, steps=500)
    quick = ModelHessianLBFGS(FrechetCellFilter(fast))
    assert quick.run(fmax=1e-3, steps=500)
    assert quick.nsteps < slow.nsteps / 2
    assert fast.get_potential_energy() == pytest.approx(usual.get_potential_energy(), abs=1e-4 * len(fast))
    assert fast.get_volume() == pytest.approx(usual.get_volume(), rel=1e-3)


@pytest.mark.parametrize("cell_filter", [lambda atoms: atoms, UnitCellFilter, ExpCellFilter])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fixed_cell_and_the_older_filters_work_too(cell_filter: Callable[[Atoms], object]) -> None:
    atoms = alloy()
    start = atoms.get_potential_energy()
    assert ModelHessianLBFGS(cell_filter(atoms)).run(fmax=1e-3, steps=500)
    assert atoms.get_potential_energy() < start


def test_a_filter_without_atoms_in_it_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="StrainFilter"):
        ModelHessianLBFGS(StrainFilter(alloy()))


def test_a_nearly_straight_molecule_bends_into_its_minimum() -> None:
    # Three Lennard-Jones atoms in a row are a saddle; the triangle has three bonds of -1.
    atoms = Atoms("Ar3", positions=[[0, 0, 0], [1.12, 0.02, 0], [2.24, 0, 0]])
    atoms.calc = LennardJones(rc=10.0, smooth=False)
    assert ModelHessianLBFGS(atoms).run(fmax=1e-4, steps=500)
    lengths = [atoms.get_distance(*pair) for pair in ((0, 1), (1, 2), (0, 2))]
    np.testing.assert_allclose(lengths, 2 ** (1 / 6), atol=1e-3)


@pytest.mark.parametrize("stiffness", [0.05, 2000.0])
def test_springs_that_are_far_wrong_do_not_keep_it_from_converging(stiffness: float) -> None:
    atoms, reference = alloy(), alloy()
    LBFGS(reference, logfile=None).run(fmax=1e-3, steps=500)
    springs = SpringModel(stiffness_eV_A2=stiffness, floor_eV_A2=stiffness / 100)
    assert ModelHessianLBFGS(atoms, springs=springs).run(fmax=1e-3, steps=500)
    assert atoms.get_potential_energy() == pytest.approx(reference.get_potential_energy(), abs=1e-3)


def test_no_step_is_kept_that_raises_the_energy() -> None:
    atoms = alloy()
    optimizer = ModelHessianLBFGS(FrechetCellFilter(atoms), springs=SpringModel(stiffness_eV_A2=1.0))
    kept = []
    for _ in optimizer.irun(fmax=1e-3, steps=200):
        if optimizer.point is not None:
            kept.append(optimizer.point.energy_eV)
    assert kept[-1] < kept[0] - 0.1
    assert max(np.diff(kept)) <= 1e-5 * len(atoms)


def test_no_atom_moves_further_than_the_longest_step() -> None:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.3, seed=2)
    atoms.calc = EMT()
    optimizer = ModelHessianLBFGS(atoms, maxstep=0.05)
    before = atoms.positions.copy()
    for _ in optimizer.irun(fmax=0.05, steps=15):
        assert np.linalg.norm(atoms.positions - before, axis=1).max() <= 0.05 + 1e-12
        before = atoms.positions.copy()


def test_the_model_is_positive_definite_and_knows_bonds_from_the_rest() -> None:
    atoms = molecule("CO", vacuum=4.0)
    atoms.pbc = True
    matrix = model_hessian(Coordinates.of(FrechetCellFilter(atoms))).toarray()
    assert matrix.shape == (15, 15)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > 0
    bond = (atoms.positions[1] - atoms.positions[0]) / atoms.get_distance(0, 1)
    across = np.array([1.0, 0.0, 0.0])
    move = lambda axis: np.concatenate([-axis, axis, np.zeros(9)])  # noqa: E731
    assert move(bond) @ matrix @ move(bond) > 4 * (move(across) @ matrix @ move(across))


def test_the_strain_of_the_model_is_that_of_its_springs() -> None:
    # Strain moves every atom along; the same motion written as atoms plus cell must cost the same.
    atoms = bulk("Cu", cubic=True)
    springs = SpringModel(floor_eV_A2=1e-9)
    coordinates = Coordinates.of(FrechetCellFilter(atoms))
    matrix = model_hessian(coordinates, springs).toarray()
    strain = np.array([[0.01, 0, 0], [0, 0.01, 0], [0, 0, 0.01]])
    vector = np.concatenate([np.zeros(12), strain.ravel() * len(atoms)])
    step = 1e-4
    stretched = 0.5 * vector @ matrix @ vector
    # A sum over pairs of k/2 (δd)², by hand.
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    first, second, distances = neighbor_list("ijd", atoms, springs.cutoff_A)
    reduced = distances / (covalent_radii[29] * 2)
    stiffness = 20.0 * np.exp(-7.0 * np.maximum(reduced - 1, -0.2))
    assert len(first) == len(second)
    assert stretched == pytest.approx(0.5 * 0.5 * np.sum(stiffness * (0.01 * distances) ** 2), rel=step)
