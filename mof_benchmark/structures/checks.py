"""Checks every structure passes before it may be computed, whatever file it came from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from ase import Atoms
from ase.data import covalent_radii

from mof_benchmark.errors import InvalidFileError
from mof_benchmark.structures.neighbours import with_images

Indices = npt.NDArray[np.intp]
Distances = npt.NDArray[np.float64]

DEFAULT_MAX_ATOMS = 20_000
COINCIDENT_A = 0.1
"""Two atoms closer than this are one atom listed twice."""
OVERLAP_FRACTION = 0.65
"""Atoms closer than this part of the sum of their covalent radii overlap (no bond is so short)."""
FARTHEST_A = 10_000.0
"""Longest cell vector and farthest coordinate: a micrometre."""
MOST_NEIGHBOURS = 300
"""Within 3 Å of an atom at the smallest volume per atom there are about a hundred."""
SMALLEST_VOLUME_FRACTION = 0.01
"""Of the box with the same edges; a flatter cell is a slip, and takes neighbour searches for ever."""
SMALLEST_HEIGHT_A = 0.5
SMALLEST_VOLUME_PER_ATOM_A3 = 1.0
"""Hydrogen at 500 GPa still has more."""
MAX_NAMED = 8


def check_size(n_atoms: int, max_atoms: int) -> None:
    """Refuse a structure without atoms or with too many.

    Raises
    ------
    InvalidFileError
    """
    if n_atoms == 0:
        raise InvalidFileError("The file has no atoms.")
    if n_atoms > max_atoms:
        raise InvalidFileError(
            f"The structure has {n_atoms:,} atoms or more; at most {max_atoms:,} are accepted."
        )


def check_cell_parameters(parameters: Sequence[float]) -> None:
    """Refuse lengths (Å) and angles (degrees) that no cell can have.

    Raises
    ------
    InvalidFileError
    """
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    for name, value in zip(names[:3], parameters[:3], strict=True):
        if not 0 < value < FARTHEST_A:
            raise InvalidFileError(f"The unit cell is impossible: the length {name} is {value:g} Å.")
    angles = parameters[3:]
    for name, value in zip(names[3:], angles, strict=True):
        if not 0 < value < 180:
            raise InvalidFileError(f"The unit cell is impossible: the angle {name} is {value:g}°.")
    cos = np.cos(np.radians(angles))
    if 1 - (cos**2).sum() + 2 * cos.prod() < SMALLEST_VOLUME_FRACTION**2:
        shown = ", ".join(f"{value:g}°" for value in angles)
        raise InvalidFileError(f"The unit cell has no volume: the angles {shown} lie in a plane.")


def check_atoms(atoms: Atoms, max_atoms: int = DEFAULT_MAX_ATOMS) -> list[str]:
    """Refuse what cannot be computed; return warnings about what looks wrong.

    Raises
    ------
    InvalidFileError
        No or too many atoms, coordinates that are no finite numbers, a cell without volume, or two
        atoms in one place.
    """
    check_size(len(atoms), max_atoms)
    odd = ~np.isfinite(atoms.positions).all(axis=1) | (np.abs(atoms.positions) > FARTHEST_A).any(axis=1)
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        raise InvalidFileError(
            f"Atom {first + 1} ({atoms.symbols[first]}) has coordinates that are no positions: "
            f"{', '.join(f'{value:g}' for value in atoms.positions[first])}."
        )
    if atoms.pbc.any():
        _check_cell_vectors(atoms)
    return _overlap_warnings(atoms)


def _check_cell_vectors(atoms: Atoms) -> None:
    if not np.isfinite(atoms.cell[:]).all():
        raise InvalidFileError("The unit cell has vectors that are not numbers.")
    if not atoms.pbc.all():
        raise InvalidFileError(
            "The structure repeats in some directions only; give a full cell (with vacuum) or none."
        )
    lengths = atoms.cell.lengths()
    if (lengths > FARTHEST_A).any():
        raise InvalidFileError(f"The unit cell is impossible: a vector is {lengths.max():.3g} Å long.")
    if (lengths <= 0).any() or abs(atoms.cell.volume) < SMALLEST_VOLUME_FRACTION * lengths.prod():
        raise InvalidFileError("The unit cell has no volume: its vectors are zero or lie in a plane.")
    heights = 1 / np.linalg.norm(np.linalg.inv(atoms.cell[:]), axis=0)
    if heights.min() < SMALLEST_HEIGHT_A:
        raise InvalidFileError(f"The unit cell is only {heights.min():.2g} Å high.")
    if atoms.cell.volume < SMALLEST_VOLUME_PER_ATOM_A3 * len(atoms):
        raise InvalidFileError(
            f"The unit cell of {atoms.cell.volume:.3g} Å³ is too small for its {len(atoms):,} atoms."
        )


def _overlap_warnings(atoms: Atoms) -> list[str]:
    radii = np.array([covalent_radii[number] for number in atoms.numbers])
    first, second, distance = close_pairs(atoms, 2 * OVERLAP_FRACTION * float(radii.max()))
    close = distance < OVERLAP_FRACTION * (radii[first] + radii[second])
    order = np.argsort(distance[close], kind="stable")
    pairs = [
        (int(i), int(j), float(d))
        for i, j, d in zip(first[close][order], second[close][order], distance[close][order], strict=True)
    ]
    if not pairs:
        return []
    shown = ", ".join(
        f"{atoms.symbols[i]}{i + 1}–{atoms.symbols[j]}{j + 1} {d:.2f} Å" for i, j, d in pairs[:MAX_NAMED]
    )
    more = f" and {len(pairs) - MAX_NAMED} more" if len(pairs) > MAX_NAMED else ""
    if pairs[0][2] < COINCIDENT_A:
        raise InvalidFileError(f"Atoms lie in one place: {shown}{more}. An atom is probably listed twice.")
    return [f"Atoms overlap: {shown}{more}. Energies and forces will be unphysical."]


def close_pairs(atoms: Atoms, cutoff_A: float) -> tuple[Indices, Indices, Distances]:
    """Every pair of atoms closer than `cutoff_A`, periodic images included, each once.

    Raises
    ------
    InvalidFileError
        When the pairs are too many for any matter.
    """
    # Half a second of scipy at import, which processes that read no structure need not pay.
    from scipy.spatial import cKDTree

    positions, ghosts, owners = with_images(atoms, cutoff_A)
    tree, other = cKDTree(positions), cKDTree(ghosts)
    if tree.count_neighbors(other, cutoff_A) > MOST_NEIGHBOURS * len(atoms):
        raise InvalidFileError("The atoms lie on top of each other: their coordinates are no structure.")
    pairs = tree.sparse_distance_matrix(other, cutoff_A, output_type="ndarray")
    first, second, distance = pairs["i"], owners[pairs["j"]], pairs["v"]
    # An atom meets itself at distance 0, and its own images at the lengths of the cell.
    once = (first < second) | ((first == second) & (distance > 1e-9))
    return first[once], second[once], distance[once]
