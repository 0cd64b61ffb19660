"""The canonical form: one text for one structure, and back bit for bit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.io import read as ase_read

from mof_benchmark.structures import builtin
from mof_benchmark.structures.writing import canonical_text, read_canonical, write_canonical


def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    atoms = builtin.build("MOF-5")
    atoms.rattle(0.1, seed=1)
    write_canonical(atoms, tmp_path / "a.extxyz")
    back = read_canonical(tmp_path / "a.extxyz")
    assert np.array_equal(back.positions, atoms.positions)
    assert np.array_equal(back.cell[:], atoms.cell[:])
    assert np.array_equal(back.numbers, atoms.numbers)
    assert back.pbc.all()
    assert back.calc is None


def test_the_digest_is_that_of_the_file_and_stays_the_same(tmp_path: Path) -> None:
    atoms = builtin.build("SOD")
    digest = write_canonical(atoms, tmp_path / "a.extxyz")
    assert digest == hashlib.sha256((tmp_path / "a.extxyz").read_bytes()).hexdigest()
    assert digest == write_canonical(read_canonical(tmp_path / "a.extxyz"), tmp_path / "b.extxyz")


def test_a_moved_atom_changes_the_digest(tmp_path: Path) -> None:
    atoms = builtin.build("SOD")
    before = write_canonical(atoms, tmp_path / "a.extxyz")
    atoms.positions[0, 0] += 1e-12
    assert write_canonical(atoms, tmp_path / "a.extxyz") != before


def test_results_and_extra_arrays_stay_out() -> None:
    atoms = builtin.build("SOD")
    plain = canonical_text(atoms)
    atoms.info["energy"] = -1.0
    atoms.set_array("forces", np.ones((len(atoms), 3)))
    assert canonical_text(atoms) == plain


def test_negative_zero_is_zero() -> None:
    atoms = builtin.build("SOD")
    plain = canonical_text(atoms)
    atoms.positions[atoms.positions == 0] = -0.0
    assert canonical_text(atoms) == plain


def test_a_molecule_stays_one(tmp_path: Path) -> None:
    write_canonical(molecule("CO2"), tmp_path / "m.extxyz")
    back = read_canonical(tmp_path / "m.extxyz")
    assert not back.pbc.any()
    assert back.cell.rank == 0


def test_ase_reads_the_canonical_form_too(tmp_path: Path) -> None:
    atoms = builtin.build("SOD")
    write_canonical(atoms, tmp_path / "a.extxyz")
    other = ase_read(tmp_path / "a.extxyz")
    assert np.array_equal(other.positions, atoms.positions)
    assert other.pbc.all()
