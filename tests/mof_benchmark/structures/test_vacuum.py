"""Slabs and molecules are told from crystals, however open these are."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from mof_benchmark.structures import builtin
from mof_benchmark.structures.vacuum import vacuum_layer


def test_a_slab_is_known_by_its_axis_and_width() -> None:
    slab = fcc111("Cu", (2, 2, 2), a=3.6, vacuum=6)
    slab.pbc = True
    found = vacuum_layer(slab)
    assert found is not None
    assert found.axis == "c"
    assert found.width_A == pytest.approx(12)


def test_a_molecule_in_a_box_is_known_across_the_cell_s_faces_too() -> None:
    water = molecule("H2O", vacuum=5, pbc=True)
    water.positions += water.cell.sum(axis=0) / 2
    assert vacuum_layer(water) is not None


@pytest.mark.parametrize("name", [info.name for info in builtin.names()])
def test_the_pores_of_a_framework_are_no_vacuum(name: str) -> None:
    assert vacuum_layer(builtin.build(name)) is None


def test_the_largest_real_framework_is_none_either(data: Path) -> None:
    assert vacuum_layer(ase.io.read(data / "structures" / "HABRAF_full.cif")) is None


@pytest.mark.parametrize("atoms", [bulk("Cu"), molecule("CO2"), Atoms()], ids=["crystal", "molecule", "none"])
def test_a_crystal_of_one_atom_and_what_has_no_cell_have_none(atoms: Atoms) -> None:
    assert vacuum_layer(atoms) is None
