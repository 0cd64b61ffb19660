"""Geometry analyses against structures whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from mof_benchmark.calculations.framework_analysis import (
    broken_bonds,
    displacements_without_strain,
    metal_coordination,
    radial_distribution,
)


def magnesium_oxide() -> Atoms:
    return bulk("MgO", "rocksalt", a=4.21, cubic=True).repeat(2)


def test_strain_and_drift_are_no_displacement() -> None:
    before = magnesium_oxide()
    after = before.copy()
    after.set_cell(before.cell * 1.05, scale_atoms=True)
    after.positions += [0.7, -0.4, 5.0]
    assert np.abs(displacements_without_strain(before, after)).max() < 1e-10


def test_a_displacement_over_a_face_keeps_its_length() -> None:
    before = magnesium_oxide()
    after = before.copy()
    after.positions[0] += [-0.3, 0, 0]
    after.wrap()
    found = displacements_without_strain(before, after)
    assert np.linalg.norm(found[0]) == pytest.approx(0.3 * (1 - 1 / len(before)))


def test_a_pulled_out_atom_breaks_its_bonds() -> None:
    before = magnesium_oxide()
    assert broken_bonds(before, before) == (0, len(before) * 3)
    after = before.copy()
    after.positions[0] += [1.5, 1.5, 0]
    broken, _ = broken_bonds(before, after)
    assert 2 <= broken <= 6
    after.wrap()
    assert broken_bonds(before, after)[0] == broken


def test_rocksalt_is_sixfold_coordinated() -> None:
    assert metal_coordination(magnesium_oxide()) == {"Mg": 6.0}


def test_the_radial_distribution_has_the_shells_of_the_lattice() -> None:
    rdf = radial_distribution([bulk("Cu", "fcc", a=3.6)])
    peaks = rdf.r_A[rdf.g > 0]
    assert peaks[0] == pytest.approx(3.6 / np.sqrt(2), abs=0.05)
    assert peaks[1] == pytest.approx(3.6, abs=0.05)
    density = 4 / 3.6**3
    shells = 4 / 3 * np.pi * ((rdf.r_A + 0.025) ** 3 - (rdf.r_A - 0.025) ** 3)
    assert (rdf.g * shells)[rdf.r_A < 3].sum() * density == pytest.approx(12)
