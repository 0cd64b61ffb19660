"""Telling guest from host, and inserting a guest into pores."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import vdw_radii
from ase.geometry import get_distances

from mof_benchmark.calculations.host_guest import (
    Separation,
    contacts,
    guest_molecule,
    insertions,
    reactions,
    separate,
)
from mof_benchmark.errors import CalculationFailedError, InvalidFileError, InvalidParameterError


@pytest.fixture
def cage() -> Atoms:
    """A silica-like box with one open pore: quartz-free, but bonded in one piece."""
    box = bulk("Si", "diamond", a=5.43, cubic=True).repeat((3, 3, 3))
    center = box.cell.sum(axis=0) / 2
    return box[np.linalg.norm(box.positions - center, axis=1) > 6.0]


def with_guest(host: Atoms, guest: Atoms, place: np.ndarray) -> Atoms:
    guest = guest.copy()
    guest.translate(place - guest.get_center_of_mass())
    return host + guest


def test_a_reaction_of_the_guest_is_named() -> None:
    water = molecule("H2O")
    together = Atoms("Mg", positions=[[0, 0, 3.0]]) + water
    together.set_cell([20, 20, 20])
    together.pbc = True
    separation = Separation(host=np.array([0]), guest=np.array([1, 2, 3]))
    assert reactions(together, separation, water) == []
    apart = together.copy()
    apart.positions[3] += [0, 0, 7.0]
    assert "1 of its 2 bonds" in reactions(apart, separation, water)[0]
    bonded = together.copy()
    bonded.symbols[0] = "C"
    bonded.positions[0] = bonded.positions[1] + [0, 0, 1.4]
    assert "C0" in reactions(bonded, separation, water)[0]


def test_a_guest_is_found_by_connectivity(cage: Atoms) -> None:
    atoms = with_guest(cage, molecule("CO2"), cage.cell.sum(axis=0) / 2)
    separation = separate(atoms)
    assert list(separation.guest) == [len(cage), len(cage) + 1, len(cage) + 2]
    assert len(separation.host) == len(cage)


def test_a_guest_bonded_to_a_metal_only_comes_off(cage: Atoms) -> None:
    center = cage.cell.sum(axis=0) / 2
    nearest = int(np.argmin(np.linalg.norm(cage.positions - center, axis=1)))
    cage.numbers[nearest] = 12
    inward = center - cage.positions[nearest]
    water = molecule("H2O")
    water.rotate([0, 0, -1], inward)
    water.translate(cage.positions[nearest] + inward / np.linalg.norm(inward) * 2.1 - water.positions[0])
    separation = separate(cage + water)
    assert list(separation.guest) == [len(cage), len(cage) + 1, len(cage) + 2]


def test_two_guests_are_refused_by_name(cage: Atoms) -> None:
    center, aside = cage.cell.sum(axis=0) / 2, np.array([2.0, 0, 0])
    two = with_guest(with_guest(cage, molecule("CO2"), center - aside), molecule("N2"), center + aside)
    with pytest.raises(InvalidFileError, match="found 2"):
        separate(two)


def test_an_empty_framework_has_no_guest(cage: Atoms) -> None:
    with pytest.raises(InvalidFileError, match="found 0"):
        separate(cage)


def test_indices_that_cut_a_covalent_bond_are_refused(cage: Atoms) -> None:
    with pytest.raises(InvalidFileError, match="bonded to host atom"):
        separate(cage, [0])


def test_indices_out_of_range_are_refused(cage: Atoms) -> None:
    with pytest.raises(InvalidParameterError, match="from 0"):
        separate(cage, [len(cage)])


def test_insertions_keep_clear_of_every_image_and_repeat_with_their_seed(cage: Atoms) -> None:
    guest = guest_molecule("CO2")
    poses = list(insertions(cage, guest, 20, min_distance_factor=0.8, seed=7))
    again = list(insertions(cage, guest, 20, min_distance_factor=0.8, seed=7))
    assert np.array_equal(poses, again)
    for positions in poses:
        _, distances = get_distances(positions, cage.positions, cell=cage.cell, pbc=True)
        limits = 0.8 * (vdw_radii[guest.numbers][:, None] + vdw_radii[cage.numbers][None, :])
        assert np.all(distances > limits)
    centers = np.array([p.mean(axis=0) for p in poses])
    assert centers.std(axis=0).min() > 0.2


def test_a_dense_crystal_has_no_room() -> None:
    with pytest.raises(CalculationFailedError, match="0 of 1 insertions"):
        list(
            insertions(
                bulk("Cu", cubic=True),
                guest_molecule("CO2"),
                1,
                min_distance_factor=0.8,
                seed=0,
                max_trials_per_pose=50,
            )
        )


def test_contacts_see_through_the_cell_s_faces() -> None:
    host = Atoms("Si", positions=[[0.5, 5, 5]], cell=[10, 10, 10], pbc=True)
    atoms = host + Atoms("Ar", positions=[[8.0, 5, 5]])
    separation = separate(atoms, [1])
    assert contacts(atoms, separation) == [(0, 1, pytest.approx(2.5))]


def test_every_guest_of_the_schema_can_be_built() -> None:
    for name in ("CO2", "H2O", "N2", "CH4", "H2", "CO", "O2", "NH3", "SO2", "H2S", "Ar", "He", "Kr", "Xe"):
        assert len(guest_molecule(name)) > 0
