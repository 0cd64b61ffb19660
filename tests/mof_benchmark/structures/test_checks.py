"""The search for close pairs, against ASE's."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from mof_benchmark.structures import builtin
from mof_benchmark.structures.checks import close_pairs


def skewed() -> Atoms:
    """A flat oblique cell, shorter than the search reaches, with atoms outside it."""
    cell = [[2.0, 0, 0], [5.5, 3.0, 0], [0.7, 2.9, 2.2]]
    return Atoms("CNO", positions=[[0, 0, 0], [9.1, -3.3, 1.0], [4.4, 4.0, 7.9]], cell=cell, pbc=True)


@pytest.mark.parametrize(
    "atoms",
    [
        skewed(),
        builtin.build("MOF-5"),
        builtin.build("SOD"),
        Atoms("H5", np.linspace(0, 4, 15).reshape(5, 3)),
    ],
    ids=["skewed", "MOF-5", "SOD", "molecule"],
)
def test_close_pairs_are_those_of_the_other_neighbour_search(atoms: Atoms) -> None:
    cutoff = 2.9
    i, j, d = neighbor_list("ijd", atoms, cutoff)
    # ASE lists each pair from both ends, an atom and its own images as well.
    expected = sorted((a, b, round(x, 8)) for a, b, x in zip(i, j, d, strict=True) if a <= b)
    found = sorted((a, b, round(x, 8)) for a, b, x in zip(*close_pairs(atoms, cutoff), strict=True))
    assert found == expected
