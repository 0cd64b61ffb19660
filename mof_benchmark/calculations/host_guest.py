"""Frameworks and their guests: telling them apart, and inserting a molecule into an empty framework."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data import chemical_symbols, covalent_radii, vdw_radii
from ase.geometry import complete_cell
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from mof_benchmark.errors import CalculationFailedError, InvalidFileError, InvalidParameterError

METALS = frozenset(
    z
    for z in range(1, len(chemical_symbols))
    if z not in {1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86}
)
BONDED_FACTOR = 1.1
"""Atoms closer than this times the sum of covalent radii count as bonded."""
LARGEST_GUEST_ATOMS = 50
FALLBACK_VDW_RADIUS_A = 2.0
"""For elements without a tabulated van der Waals radius (most metals: Bondi gives none)."""


@dataclass(frozen=True)
class Separation:
    """Indices of the host's and the guest's atoms; together they are all atoms."""

    host: NDArray[np.int64]
    guest: NDArray[np.int64]


def separate(atoms: Atoms, guest_indices: list[int] | None = None) -> Separation:
    """Tell guest from host: by the given indices, or as the one molecule bonded to nothing else.

    A guest at an open metal site may be as close as a bond; when everything hangs together, bonds
    to metals are cut and the one small molecule that then comes off is taken.

    Raises
    ------
    InvalidParameterError
        Indices out of range, or a guest that is the whole structure.
    InvalidFileError
        No guest, several, or one covalently bonded to the host.
    """
    n_atoms = len(atoms)
    if guest_indices is not None:
        if max(guest_indices) >= n_atoms:
            raise InvalidParameterError(
                f"guest_indices names atom {max(guest_indices)}, but there are {n_atoms} (from 0).",
                field="parameters.guest_indices",
            )
        if len(guest_indices) == n_atoms:
            raise InvalidParameterError(
                "The guest cannot be the whole structure.", field="parameters.guest_indices"
            )
        separation = _separation(n_atoms, np.array(sorted(guest_indices)))
        _refuse_covalent_contact(atoms, separation)
        return separation

    molecules = _molecules(atoms, cut_metal_bonds=False)
    if len(molecules) == 1:
        molecules = _molecules(atoms, cut_metal_bonds=True)
    host = max(molecules, key=len)
    guests = [m for m in molecules if m is not host and _may_be_guest(atoms, m)]
    if len(guests) != 1:
        found = ", ".join(str(atoms[m].symbols) for m in guests[:5]) or "none"
        raise InvalidFileError(
            f"Exactly one guest molecule is needed, found {len(guests)} ({found}); name it by guest_indices."
        )
    return _separation(n_atoms, guests[0])


def guest_molecule(name: str) -> Atoms:
    """A guest in its gas-phase geometry (ASE's G2 set; noble gases as single atoms)."""
    if name in {"Ar", "He", "Kr", "Xe"}:
        return Atoms(name)
    return molecule("SH2" if name == "H2S" else name)


def insertions(
    host: Atoms,
    guest: Atoms,
    n_poses: int,
    *,
    min_distance_factor: float,
    seed: int,
    max_trials_per_pose: int = 5000,
) -> Iterator[NDArray[np.float64]]:
    """Yield `n_poses` guest positions, shape (n_guest, 3) in Å, clear of the host's atoms.

    Centres are uniform over the cell and orientations uniform over rotations, from a generator
    seeded by `seed`. A pose is taken when every host–guest distance exceeds
    `min_distance_factor` times the sum of van der Waals radii, periodic images included.

    Raises
    ------
    CalculationFailedError
        When `max_trials_per_pose` trials per pose do not give enough: the pores are too small.
    """
    generator = np.random.default_rng(seed)
    host_radii, guest_radii = _radii(host), _radii(guest)
    shape = guest.get_positions() - guest.get_center_of_mass()
    reach = min_distance_factor * (host_radii.max() + guest_radii.max())
    images, owners = _images_within(host, reach + np.linalg.norm(shape, axis=1).max())
    tree = cKDTree(images)
    found = 0
    for _ in range(n_poses * max_trials_per_pose):
        center = generator.random(3) @ host.cell.array
        rotation = Rotation.random(random_state=generator)
        positions = center + rotation.apply(shape)
        neighbours = tree.query_ball_point(positions, reach)
        clear = all(
            np.all(
                np.linalg.norm(images[near] - position, axis=1)
                > min_distance_factor * (host_radii[owners[near]] + radius)
            )
            for position, near, radius in zip(positions, neighbours, guest_radii, strict=True)
            if near
        )
        if clear:
            yield positions
            found += 1
            if found == n_poses:
                return
    raise CalculationFailedError(
        f"Only {found} of {n_poses} insertions of {guest.symbols} fit into the pores after "
        f"{n_poses * max_trials_per_pose} trials; lower min_distance_factor or n_poses."
    )


def contacts(atoms: Atoms, separation: Separation, n: int = 5) -> list[tuple[int, int, float]]:
    """The `n` closest host–guest pairs (host atom, guest atom, distance in Å), images included."""
    guest = atoms[separation.guest]
    cutoff = 6.0
    images, owners = _images_within(atoms[separation.host], cutoff)
    guest.wrap()
    tree = cKDTree(images)
    pairs = [
        (
            int(separation.host[owners[k]]),
            int(separation.guest[g]),
            float(np.linalg.norm(images[k] - position)),
        )
        for g, position in enumerate(guest.positions)
        for k in tree.query_ball_point(position, cutoff)
    ]
    return sorted(pairs, key=lambda pair: pair[2])[:n]


def reactions(atoms: Atoms, separation: Separation, guest_before: Atoms) -> list[str]:
    """What a relaxation did that leaves no host and guest to tell apart, one sentence each."""
    found = []
    bonded = _bond_across(atoms, separation)
    if bonded is not None:
        g, h = bonded
        found.append(
            f"The guest has bonded to the host ({atoms.symbols[g]}{g}–{atoms.symbols[h]}{h}): this is a "
            "reaction, not an interaction."
        )
    guest = atoms[separation.guest]
    kept = {frozenset(pair) for pair in zip(*_bonds(guest_before), strict=True)}
    broken = kept - {frozenset(pair) for pair in zip(*_bonds(guest), strict=True)}
    if broken:
        found.append(f"The guest has come apart: {len(broken)} of its {len(kept)} bonds are broken.")
    return found


def _radii(atoms: Atoms) -> NDArray[np.float64]:
    # The table ends before the heaviest elements.
    known = np.full(len(chemical_symbols), np.nan)
    known[: len(vdw_radii)] = vdw_radii
    radii = known[atoms.numbers]
    return np.where(np.isnan(radii), FALLBACK_VDW_RADIUS_A, radii)


def _separation(n_atoms: int, guest: NDArray[np.int64]) -> Separation:
    return Separation(host=np.setdiff1d(np.arange(n_atoms), guest), guest=guest)


def _bonds(atoms: Atoms) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=BONDED_FACTOR))
    return first, second


def _bond_across(atoms: Atoms, separation: Separation) -> tuple[int, int] | None:
    """A guest atom and the host's atom that it is bonded to; metals coordinate and do not count."""
    first, second = _bonds(atoms)
    is_guest = np.zeros(len(atoms), dtype=bool)
    is_guest[separation.guest] = True
    is_metal = np.isin(atoms.numbers, list(METALS))
    across = np.flatnonzero(is_guest[first] & ~is_guest[second] & ~is_metal[first] & ~is_metal[second])
    return (int(first[across[0]]), int(second[across[0]])) if across.size else None


def _molecules(atoms: Atoms, *, cut_metal_bonds: bool) -> list[NDArray[np.int64]]:
    first, second = _bonds(atoms)
    if cut_metal_bonds:
        is_metal = np.isin(atoms.numbers, list(METALS))
        kept = ~(is_metal[first] | is_metal[second])
        first, second = first[kept], second[kept]
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(len(atoms), len(atoms)))
    n_parts, part = connected_components(graph, directed=False)
    return [np.flatnonzero(part == k) for k in range(n_parts)]


def _may_be_guest(atoms: Atoms, indices: NDArray[np.int64]) -> bool:
    """Small, without metals, and neutral-looking: linkers cut off their metals are no guests."""
    numbers = atoms.numbers[indices]
    if len(indices) > LARGEST_GUEST_ATOMS or np.isin(numbers, list(METALS)).any():
        return False
    formula = atoms[indices].get_chemical_formula("hill")
    return (len(indices) > 1 and formula in _KNOWN_GUESTS) or numbers[0] in {2, 10, 18, 36, 54}


_KNOWN_GUESTS = frozenset(
    {
        *("CO2", "H2O", "N2", "CH4", "H2", "CO", "O2", "H3N", "O2S", "H2S", "N2O", "NO", "NO2", "O2", "CS2"),
        *("C2H2", "C2H4", "C2H6", "C3H6", "C3H8", "CH4O", "C2H6O", "CHN", "C6H6", "CH2O", "Cl2", "HCl"),
    }
)


def _refuse_covalent_contact(atoms: Atoms, separation: Separation) -> None:
    """A given guest must not be bonded to the host's non-metals: its energy alone would mean nothing."""
    bonded = _bond_across(atoms, separation)
    if bonded is not None:
        g, h = bonded
        limit = BONDED_FACTOR * (covalent_radii[atoms.numbers[g]] + covalent_radii[atoms.numbers[h]])
        raise InvalidFileError(
            f"Guest atom {atoms.symbols[g]}{g} is bonded to host atom {atoms.symbols[h]}{h} "
            f"(closer than {limit:.2f} Å): host and guest are not separate."
        )


def _images_within(atoms: Atoms, margin: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Positions of all atoms and images within `margin` Å around the cell, and whose images they are."""
    cell = complete_cell(atoms.cell)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    repeats = np.where(atoms.pbc, np.ceil(margin / heights).astype(int), 0)
    scaled = atoms.get_scaled_positions(wrap=True)
    offsets = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in repeats), indexing="ij"), -1).reshape(
        -1, 3
    )
    every = (scaled[None, :, :] + offsets[:, None, :]).reshape(-1, 3)
    owners = np.tile(np.arange(len(atoms)), len(offsets))
    edge = margin / heights
    near = np.all((every > -edge) & (every < 1 + edge), axis=1)
    return every[near] @ cell, owners[near]
