"""Neighbours are counted as ASE's own neighbour list counts them."""

from __future__ import annotations

import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list

from mof_benchmark.structures import builtin
from mof_benchmark.structures.neighbours import COUNTED_RADII_A, count_neighbours

SKEWED = bulk("Cu", "fcc", a=3.6)
SKEWED.rattle(0.05, seed=1)


@pytest.mark.parametrize(
    "atoms",
    [builtin.build("Mg-MOF-74"), SKEWED, molecule("CH3CH2OH")],
    ids=["framework", "cell smaller than the radius", "molecule"],
)
def test_counts_are_those_of_an_independent_neighbour_list(atoms: Atoms) -> None:
    counts = count_neighbours(atoms)
    assert counts == {radius: len(neighbor_list("i", atoms, radius)) for radius in COUNTED_RADII_A}


def test_a_supercell_has_as_many_times_the_neighbours() -> None:
    cell = builtin.build("Mg-MOF-74")
    once, eightfold = count_neighbours(cell), count_neighbours(cell.repeat(2))
    assert eightfold == {radius: 8 * count for radius, count in once.items()}
