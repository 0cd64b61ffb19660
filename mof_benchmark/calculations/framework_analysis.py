"""What became of a framework: displacements without the cell's strain, bonds, coordination, RDF."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import find_mic
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import NDArray

from mof_benchmark.calculations.host_guest import METALS

BOND_FACTOR = 1.2
"""Atoms closer than this times the sum of covalent radii are bonded in the reference structure."""
BROKEN_FACTOR = 1.5
"""A bond is broken beyond this times that sum: well outside thermal motion."""


def displacements_without_strain(before: Atoms, after: Atoms) -> NDArray[np.float64]:
    """Displacement of each atom, shape (n_atoms, 3) in Å, in the cell of `after`.

    Positions are compared in fractional coordinates (so the cell's strain drops out), by the
    nearest image, without the drift of the whole.
    """
    fractional = after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)
    vectors, _ = find_mic(fractional @ after.cell.array, after.cell, pbc=True)
    # The mean is taken after the images are chosen; once more, since it may move an atom over a face.
    vectors, _ = find_mic(vectors - vectors.mean(axis=0), after.cell, pbc=True)
    return np.asarray(vectors)


def broken_bonds(before: Atoms, after: Atoms) -> tuple[int, int]:
    """Number of bonds of `before` that are broken in `after`, and of all bonds (metal–metal left out)."""
    first, second, shifts = neighbor_list("ijS", before, natural_cutoffs(before, mult=BOND_FACTOR))
    is_metal = np.isin(before.numbers, list(METALS))
    once = (first < second) & ~(is_metal[first] & is_metal[second])
    first, second, shifts = first[once], second[once], shifts[once]
    # Positions keep their images through a simulation as long as nobody wraps them; the nearest
    # image makes the count safe where somebody did.
    vectors = after.positions[second] - after.positions[first] + shifts @ after.cell.array
    _, lengths = find_mic(vectors, after.cell, pbc=True)
    limits = BROKEN_FACTOR * (covalent_radii[before.numbers[first]] + covalent_radii[before.numbers[second]])
    return int(np.sum(lengths > limits)), len(first)


def metal_coordination(atoms: Atoms) -> dict[str, float]:
    """Mean coordination number of each metal by CrystalNN (Pan et al., doi 10.1021/acs.inorgchem.0c02996)."""
    from pymatgen.analysis.local_env import CrystalNN
    from pymatgen.io.ase import AseAtomsAdaptor

    wrapped = atoms.copy()
    wrapped.wrap()
    structure = AseAtomsAdaptor.get_structure(wrapped)
    finder = CrystalNN()
    numbers: dict[str, list[int]] = defaultdict(list)
    with warnings.catch_warnings():
        # CrystalNN warns that no oxidation states are given; it then goes by distances, as the paper does.
        warnings.simplefilter("ignore")
        for index in np.flatnonzero(np.isin(atoms.numbers, list(METALS))):
            numbers[atoms.symbols[index]].append(len(finder.get_nn_info(structure, int(index))))
    return {metal: float(np.mean(values)) for metal, values in sorted(numbers.items())}


@dataclass(frozen=True)
class Rdf:
    """Bin centres `r_A` (Å) and g(r)."""

    r_A: NDArray[np.float64]
    g: NDArray[np.float64]


def radial_distribution(frames: list[Atoms], *, r_max_A: float = 8.0, bin_A: float = 0.05) -> Rdf:
    """Radial distribution function over all pairs and frames; periodic images count, so small cells may."""
    edges = np.arange(0.0, r_max_A + bin_A / 2, bin_A)
    g = np.zeros(len(edges) - 1)
    for atoms in frames:
        counts, _ = np.histogram(neighbor_list("d", atoms, r_max_A), bins=edges)
        shells = 4 / 3 * np.pi * (edges[1:] ** 3 - edges[:-1] ** 3)
        g += counts / (len(atoms) * shells * len(atoms) / atoms.get_volume())
    return Rdf(r_A=(edges[1:] + edges[:-1]) / 2, g=g / max(1, len(frames)))
