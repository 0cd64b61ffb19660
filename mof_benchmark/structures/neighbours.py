"""Neighbours of atoms with their periodic images, by a tree.

A tree instead of ASE's bins: one stray atom far away puts all others into one bin, and with them
every pair of them into memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase import Atoms

Positions = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

COUNTED_RADII_A = (4.0, 5.0, 6.0, 8.0)
"""Radii within which a structure's neighbours are counted: the models' cutoffs lie among them."""


def with_images(atoms: Atoms, cutoff_A: float) -> tuple[Positions, Positions, Indices]:
    """Positions, and everything within `cutoff_A` of the cell, periodic images included.

    Returns
    -------
    positions
        Shape (n_atoms, 3), Å, wrapped into a full cell.
    ghosts
        Shape (n, 3), Å: the atoms and those images that can be neighbours.
    owners
        Shape (n,): the atom that each ghost is an image of.
    """
    if not atoms.pbc.all():
        return atoms.positions, atoms.positions, np.arange(len(atoms))
    scaled = atoms.get_scaled_positions(wrap=True)
    margin = cutoff_A * np.linalg.norm(np.linalg.inv(atoms.cell[:]), axis=0)
    near, kept = [], []
    for shift in itertools.product(*(range(-n, n + 1) for n in np.ceil(margin).astype(int))):
        image = scaled + shift
        inside = ((image > -margin) & (image < 1 + margin)).all(axis=1)
        near.append(image[inside])
        kept.append(np.flatnonzero(inside))
    return scaled @ atoms.cell[:], np.concatenate(near) @ atoms.cell[:], np.concatenate(kept)


def count_neighbours(atoms: Atoms, radii_A: Sequence[float] = COUNTED_RADII_A) -> dict[float, int]:
    """Edges of a model's graph: ordered pairs (i → j and j → i) within each of the radii, Å."""
    # Half a second of scipy at import, which processes that read no structure need not pay.
    from scipy.spatial import cKDTree

    positions, ghosts, _ = with_images(atoms, max(radii_A))
    counts = cKDTree(positions).count_neighbors(cKDTree(ghosts), list(radii_A))
    # Each atom meets itself once.
    return {radius: int(count) - len(atoms) for radius, count in zip(radii_A, counts, strict=True)}
