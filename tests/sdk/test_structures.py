"""What `structure=` takes and what becomes of it."""

from __future__ import annotations

import io
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
from ase import Atoms
from mofsim_client import BuiltinName, StructureError, UploadedId
from mofsim_client._effects import Upload
from mofsim_client._structures import hill_formula, resolve_structure
from pymatgen.core import Lattice, Structure

TRICLINIC = Atoms(
    "MgOC",
    cell=[[4.1, 0.1, 0.2], [0.3, 5.1, 0.4], [0.5, 0.6, 6.1]],
    positions=[[0.1, 1 / 3, 0.2], [2.0, 2.1, 2.2], [1.0, 3.0, np.pi]],
    pbc=[True, True, False],
)


def read(upload: object) -> Atoms:
    assert isinstance(upload, Upload)
    assert isinstance(upload.content, bytes)
    return ase.io.read(io.StringIO(upload.content.decode()), format="extxyz")


def test_atoms_are_sent_without_losing_a_digit() -> None:
    upload = resolve_structure(TRICLINIC)
    atoms = read(upload)
    assert atoms.get_chemical_symbols() == ["Mg", "O", "C"]
    assert (atoms.positions == TRICLINIC.positions).all()
    assert (atoms.cell.array == TRICLINIC.cell.array).all()
    assert (atoms.pbc == TRICLINIC.pbc).all()
    assert isinstance(upload, Upload)
    assert upload.name == "CMgO.extxyz"


def test_a_pymatgen_structure_is_sent_as_the_same_crystal() -> None:
    structure = Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    atoms = read(resolve_structure(structure))
    assert atoms.get_chemical_symbols() == ["Mg", "O"]
    assert np.allclose(atoms.get_scaled_positions(), structure.frac_coords, atol=1e-15)
    assert np.allclose(atoms.cell.array, structure.lattice.matrix, atol=0)


def test_a_pymatgen_structure_with_oxidation_states_is_sent_by_element() -> None:
    structure = Structure(Lattice.cubic(4.2), ["Mg2+", "O2-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert read(resolve_structure(structure)).get_chemical_symbols() == ["Mg", "O"]


def test_a_disordered_structure_is_refused() -> None:
    structure = Structure(Lattice.cubic(4.2), [{"Mg": 0.5, "Zn": 0.5}], [[0, 0, 0]])
    with pytest.raises(StructureError, match="disordered"):
        resolve_structure(structure)


def test_text_is_an_id_a_file_or_a_builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cif = tmp_path / "mof.cif"
    cif.write_text("data_")
    monkeypatch.chdir(tmp_path)
    assert resolve_structure("struct_01") == UploadedId("struct_01")
    assert resolve_structure("MOF-5") == BuiltinName("MOF-5")
    assert resolve_structure("builtin:MOF-5") == BuiltinName("MOF-5")
    assert resolve_structure(str(cif)) == resolve_structure(cif) == Upload("mof.cif", cif)
    assert resolve_structure("mof.cif") == Upload("mof.cif", Path("mof.cif"))


@pytest.mark.parametrize("text", ["absent.cif", "folder/POSCAR", "a.xyz", Path("MOF-5")])
def test_what_looks_like_a_file_and_is_absent_is_said_to_be_absent(text: str | Path) -> None:
    with pytest.raises(StructureError, match=r"There is no file .*"):
        resolve_structure(text)


def test_something_else_is_refused_with_what_would_do() -> None:
    with pytest.raises(StructureError, match=r"a path, an ASE Atoms, .* not int"):
        resolve_structure(7)  # type: ignore[arg-type]


def test_a_formula_is_in_hill_order() -> None:
    assert hill_formula(["Zn", "O", "C", "H", "C"]) == "C2HOZn"
    assert hill_formula(["Na", "Cl", "Cl"]) == "Cl2Na"
