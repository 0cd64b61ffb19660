"""Files in: every flaw has its sentence, and no wrong structure is read silently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read

from mof_benchmark.errors import InvalidFileError, UnsupportedFormatError
from mof_benchmark.structures.reading import ParsedStructure, read_structure

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "structures"

CELL = """data_test
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
"""
SITES = """loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""
SALT = SITES + "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5\n"
POSCAR = "salt\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


def parse(folder: Path, text: str | bytes, name: str = "file.cif", **options: object) -> ParsedStructure:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_structure(path, **options)  # type: ignore[arg-type]


def refusal(folder: Path, text: str | bytes, name: str = "file.cif", **options: object) -> str:
    with pytest.raises(InvalidFileError) as caught:
        parse(folder, text, name, **options)
    return caught.value.detail


# HABRAF_full has 2,976 atoms: ASE's reader, quadratic in the sites, needs minutes for it.
@pytest.mark.parametrize(
    "path", sorted(set(SHARED.glob("*.cif")) - {SHARED / "HABRAF_full.cif"}), ids=lambda path: path.stem
)
def test_real_cif_files_read_as_ase_reads_them(path: Path) -> None:
    parsed, reference = read_structure(path), ase_read(path)
    assert parsed.atoms.get_chemical_formula() == reference.get_chemical_formula()
    assert parsed.summary.volume_A3 == pytest.approx(reference.get_volume(), rel=1e-6)
    assert not any("overlap" in warning for warning in parsed.warnings)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/structures is not on this machine")
def test_a_framework_of_three_thousand_atoms_is_read_whole() -> None:
    summary = read_structure(SHARED / "HABRAF_full.cif").summary
    assert summary.formula == "C1728H768Cu96O384"
    assert summary.space_group == "Fm-3m (225)"
    assert summary.volume_A3 == pytest.approx(146684.19439579)


def test_the_real_files_are_there() -> None:
    if not SHARED.is_dir():
        pytest.skip("the shared structures (../shared/data/structures) are not on this machine")
    assert len(list(SHARED.glob("*.cif"))) >= 10


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/structures is not on this machine")
def test_a_formula_that_its_atoms_do_not_have_is_noticed() -> None:
    assert any("formula" in warning for warning in read_structure(SHARED / "FIGXEY_full.cif").warnings)
    assert read_structure(SHARED / "MOF-5_primitive.cif").warnings == []


def test_space_group_symbols_make_every_atom_of_the_cell(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + "_symmetry_space_group_name_H-M 'F m -3 m'\n" + SALT)
    assert parsed.summary.formula == "Cl4Na4"
    assert parsed.summary.space_group == "Fm-3m (225)"
    assert parsed.summary.density_g_cm3 == pytest.approx(2.165, abs=0.01)
    assert parsed.format == "cif"
    assert parsed.warnings == []


@pytest.mark.parametrize(
    "symmetry",
    [
        "_space_group_name_H-M_alt 'F M -3 M'",
        "_space_group_name_H-M_alt Fm3m",
        "_space_group_name_H-M_alt F m -3 m",
        "_space_group_name_Hall '-F 4 2 3'",
        "_space_group_IT_number 225",
        "_space_group.IT_number 225",
    ],
)
def test_a_space_group_is_understood_however_it_is_spelt(tmp_path: Path, symmetry: str) -> None:
    assert parse(tmp_path, CELL + symmetry + "\n" + SALT).summary.n_atoms == 8


def test_listed_operations_win_over_the_name(tmp_path: Path) -> None:
    listed = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n"
    text = CELL + "_symmetry_space_group_name_H-M 'F m -3 m'\n" + listed + SALT
    assert parse(tmp_path, text).summary.n_atoms == 2


def test_missing_symmetry_means_p1_and_says_so(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + SALT)
    assert parsed.summary.n_atoms == 2
    assert any("P1" in warning for warning in parsed.warnings)


def test_rounded_special_positions_neither_double_nor_split_an_atom(tmp_path: Path) -> None:
    cell = CELL.replace("_length_c 5.64", "_length_c 9").replace("gamma 90", "gamma 120")
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-y,x-y,z'\n'-x+y,-x,z'\n"
    parsed = parse(tmp_path, cell + operations + SITES + "Zn1 Zn 0.3333 0.6667 0.25\n")
    assert len(parsed.atoms) == 1
    assert parsed.atoms.get_scaled_positions()[0] == pytest.approx([1 / 3, 2 / 3, 0.25], abs=1e-10)


def test_operations_that_are_no_group_are_refused(tmp_path: Path) -> None:
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-y,x,z'\n"
    assert "no group" in refusal(tmp_path, CELL + operations + SALT)


def test_operations_that_do_not_fit_the_cell_are_refused(tmp_path: Path) -> None:
    operations = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-y,x-y,z'\n'-x+y,-x,z'\n"
    assert "do not fit" in refusal(tmp_path, CELL + operations + SALT)


def test_an_open_choice_of_origin_is_refused(tmp_path: Path) -> None:
    detail = refusal(tmp_path, CELL + "_symmetry_space_group_name_H-M 'F d -3 m'\n" + SALT)
    assert "':1' or ':2'" in detail
    named = CELL + "_symmetry_space_group_name_H-M 'F d -3 m :2'\n" + SITES + "Si1 Si 0.125 0.125 0.125\n"
    assert parse(tmp_path, named).summary.n_atoms == 8


def test_the_cell_tells_rhombohedral_from_hexagonal_axes(tmp_path: Path) -> None:
    symbol = "_symmetry_space_group_name_H-M 'R -3 m'\n"
    site = SITES + "Bi1 Bi 0.234 0.234 0.234\n"
    rhombohedral = CELL.replace("5.64", "4.746").replace(" 90", " 57.23") + symbol + site
    assert parse(tmp_path, rhombohedral).summary.n_atoms == 2
    hexagonal = CELL.replace("_length_c 5.64", "_length_c 11.86").replace("gamma 90", "gamma 120")
    assert parse(tmp_path, hexagonal + symbol + SITES + "Bi1 Bi 0 0 0.234\n").summary.n_atoms == 6


def test_an_unknown_space_group_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "Line 8" in refusal(tmp_path, CELL + "_symmetry_space_group_name_H-M 'Q m m m'\n" + SALT)


def test_partial_occupancy_is_refused_naming_the_sites(tmp_path: Path) -> None:
    sites = SITES + "_atom_site_occupancy\nNa1 Na 0 0 0 1.0\nCl1 Cl 0.5 0.5 0.5 0.5(1)\n"
    detail = refusal(tmp_path, CELL + sites)
    assert "Cl1 (0.5)" in detail
    assert "Na1" not in detail


def test_alternatives_of_a_disordered_part_are_refused_naming_them(tmp_path: Path) -> None:
    sites = SITES + "_atom_site_disorder_group\nNa1 Na 0 0 0 .\nCl1 Cl 0.5 0.5 0.5 1\nCl2 Cl 0.6 0.5 0.5 2\n"
    detail = refusal(tmp_path, CELL + sites)
    assert "group 1: Cl1" in detail
    assert "group 2: Cl2" in detail


def test_overlapping_atoms_are_read_with_a_warning_that_names_them(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + SITES + "Na1 Na 0 0 0\nCl1 Cl 0.1 0 0\n")
    assert any("Na1–Cl2 0.56 Å" in warning for warning in parsed.warnings)


def test_an_atom_listed_twice_is_refused(tmp_path: Path) -> None:
    assert "Na1–Na2 0.01 Å" in refusal(tmp_path, CELL + SITES + "Na1 Na 0 0 0\nNa2 Na 0.001 0 0\n")


def test_an_atom_on_top_of_its_image_across_the_cell_border_is_found(tmp_path: Path) -> None:
    assert "one place" in refusal(tmp_path, CELL + SITES + "Na1 Na 0 0 0\nNa2 Na 0.9999 0 0\n")


def test_deuterium_becomes_hydrogen_with_a_warning(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + SITES + "O1 O 0 0 0\nD1 D 0.17 0 0\nD2 D 0 0.17 0\n")
    assert parsed.summary.formula == "H2O"
    assert any("Deuterium" in warning for warning in parsed.warnings)


def test_elements_are_read_with_charges_and_capitals(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + SITES + "A NA1+ 0 0 0\nB Cl- 0.5 0.5 0.5\n")
    assert parsed.summary.formula == "ClNa"


def test_labels_alone_name_the_element_unless_they_are_ambiguous(tmp_path: Path) -> None:
    bare = SITES.replace("_atom_site_type_symbol\n", "")
    assert parse(tmp_path, CELL + bare + "Zn1A 0 0 0\nOW1 0.5 0.5 0.5\n").summary.formula == "OZn"
    assert "could be Co or C" in refusal(tmp_path, CELL + bare + "CO1 0 0 0\n")
    formula = "_chemical_formula_sum 'C1'\n"
    assert parse(tmp_path, CELL + formula + bare + "CO1 0 0 0\n").summary.formula == "C"


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ("Xx1 Xx 0 0 0\n", "no chemical element"),
        ("Na1 Na nan 0 0\n", "'nan', not a number"),
        ("Na1 Na ? 0 0\n", "no coordinates: Na1"),
        ("Na1 Na 0 0\n", "5 names but 4 values"),
        ("", "empty"),
    ],
)
def test_broken_sites_are_refused_with_what_and_where(tmp_path: Path, sites: str, expected: str) -> None:
    assert expected in refusal(tmp_path, CELL + SITES + sites)


def test_a_cif_without_sites_or_cell_is_refused(tmp_path: Path) -> None:
    assert "no atoms" in refusal(tmp_path, CELL)
    assert "no unit cell: '_cell_length_a'" in refusal(tmp_path, "data_x\n" + SALT)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("_length_a 5.64", "_length_a 0", "length a"),
        ("_length_a 5.64", "_length_a -5.64", "length a"),
        ("alpha 90", "alpha 180", "angle alpha"),
        ("gamma 90", "gamma 0", "angle gamma"),
        ("alpha 90", "alpha 179.9", "no volume"),
        ("_length_a 5.64", "_length_a five", "'five', not a number"),
    ],
)
def test_an_impossible_cell_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in refusal(tmp_path, CELL.replace(old, new) + SALT)


def test_the_first_of_several_structures_is_read_with_a_warning(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + SALT + CELL.replace("data_test", "data_other") + SALT)
    assert any("2 structures" in warning for warning in parsed.warnings)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "picture.cif"),
        (bytes(range(128, 256)) * 20, "junk.xyz"),
        ("Dear colleague,\nhere is the file.\n", "letter.cif"),
        ("{}", "data.json"),
    ],
)
def test_what_is_no_structure_is_an_unsupported_format(
    tmp_path: Path, content: str | bytes, name: str
) -> None:
    with pytest.raises(UnsupportedFormatError):
        parse(tmp_path, content, name)


@pytest.mark.parametrize("content", ["", " \n\n\t\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content) == "The file is empty."


def test_latin_1_names_of_authors_do_not_hinder(tmp_path: Path) -> None:
    text = (CELL + "_publ_author_name 'Müller'\n" + SALT).encode("latin-1")
    assert parse(tmp_path, text).summary.n_atoms == 2


def test_windows_line_ends_and_a_byte_order_mark_do_not_hinder(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + (CELL + SALT).replace("\n", "\r\n").encode()
    assert parse(tmp_path, text).summary.n_atoms == 2


def test_an_overlong_line_is_refused_with_its_number(tmp_path: Path) -> None:
    assert "Line 1 has" in refusal(tmp_path, "#" + "x" * 50_000 + "\n" + CELL + SALT)


def test_too_many_atoms_are_refused_before_they_are_made(tmp_path: Path) -> None:
    rows = "".join(f"C{n} C {n / 500} 0 0\n" for n in range(500))
    group = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
    assert "at most 400" in refusal(tmp_path, CELL + group + SITES + rows, max_atoms=400)
    assert "at most 20,000" in refusal(tmp_path, "5000000\n\nC 0 0 0\n", "big.xyz")


def test_a_renamed_file_is_read_by_its_content_with_a_warning(tmp_path: Path) -> None:
    parsed = parse(tmp_path, CELL + SALT, "structure.xyz")
    assert parsed.format == "cif"
    assert "named xyz but its content is cif" in parsed.warnings[0]
    assert parse(tmp_path, "2\n\nH 0 0 0\nH 0 0 0.74\n", "a.cif", format="cif").format == "xyz"


def test_an_unknown_format_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormatError, match="'pdb' is not one of"):
        parse(tmp_path, CELL + SALT, format="pdb")


def test_an_xyz_file_is_a_molecule_and_says_so(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "3\nwater = wet 'quote\nO 0 0 0\nH 0.96 0 0\n1 -0.24 0.93 0 extra\n", "w.xyz")
    assert parsed.format == "xyz"
    assert parsed.summary.formula == "H2O"
    assert not parsed.summary.periodic
    assert parsed.summary.cell_parameters is None
    assert any("no periodic cell" in warning for warning in parsed.warnings)


def test_an_extended_xyz_file_keeps_its_cell(tmp_path: Path) -> None:
    header = 'Lattice="5.64 0 0 0 5.64 0 0 0 5.64" Properties=species:S:1:pos:R:3'
    text = f"2\n{header}\nNa 0 0 0\nCl 2.82 2.82 2.82\n"
    parsed = parse(tmp_path, text, "salt.xyz")
    assert parsed.format == "extxyz"
    assert parsed.summary.periodic
    assert parsed.summary.volume_A3 == pytest.approx(5.64**3)
    assert parsed.warnings == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2\n\nH 0 0 0\n", "promises 2 atoms in line 1 but lists 1"),
        ("1\n\nH 0 zero 0\n", "Line 3"),
        ("1\n\nQq 0 0 0\n", "Line 3: 'Qq' is no chemical element"),
        ("1\n\nH 0 nan 0\n", "no positions"),
        ("1\n\nH 0 1e300 0\n", "no positions"),
        ("0\n\n", "no atoms"),
        ("-3\n\nH 0 0 0\n", "no atoms"),
        ('1\nLattice="1 0 0 0 1 0 0 0" pbc="T T T"\nH 0 0 0\n', "cannot be read"),
        ('1\nLattice="4 0 0 0 4 0 4 4 0" pbc="T T T"\nH 0 0 0\n', "no volume"),
        ('1\nLattice="4 0 0 0 4 0 0 0 4" pbc="T T F"\nH 0 0 0\n', "some directions only"),
    ],
)
def test_broken_xyz_files_are_refused_with_what_and_where(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal(tmp_path, text, "file.xyz")


def test_the_first_frame_of_a_trajectory_is_read_with_a_warning(tmp_path: Path) -> None:
    parsed = parse(tmp_path, "1\n\nH 0 0 0\n1\n\nH 0 0 1\n", "run.xyz")
    assert any("first frame" in warning for warning in parsed.warnings)


def test_deuterium_in_xyz_files_becomes_hydrogen_too(tmp_path: Path) -> None:
    lattice = 'Lattice="5 0 0 0 5 0 0 0 5"\n'
    for text in ("2\n\nD 0 0 0\nD 0 0 0.74\n", f"2\n{lattice}D 0 0 0\nD 0 0 0.74\n"):
        parsed = parse(tmp_path, text, "d2.xyz")
        assert parsed.summary.formula == "H2"
        assert any("Deuterium" in warning for warning in parsed.warnings)


@pytest.mark.parametrize(
    "text",
    [
        POSCAR,
        POSCAR.replace("1.0\n", "-179.406144\n"),
        POSCAR.replace("Direct", "Selective dynamics\nDirect").replace("0 0 0\n0.5", "0 0 0 T T T\n0.5"),
        POSCAR.replace("Direct", "Cartesian").replace("0.5 0.5 0.5", "2.82 2.82 2.82"),
        POSCAR.replace("1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64", "5.64\n1 0 0\n0 1 0\n0 0 1"),
    ],
    ids=["direct", "volume", "selective", "cartesian", "scaled"],
)
def test_poscar_files_are_read_in_all_their_forms(tmp_path: Path, text: str) -> None:
    parsed = parse(tmp_path, text, "POSCAR")
    assert parsed.format == "poscar"
    assert parsed.summary.volume_A3 == pytest.approx(5.64**3)
    assert np.allclose(parsed.atoms.get_scaled_positions()[1], 0.5)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Na Cl\n", "", "VASP 4"),
        ("1 1\n", "1\n", "Lines 6 and 7"),
        ("Direct", "Unknown", "Line 8"),
        ("0.5 0.5 0.5\n", "0.5 0.5\n", "Line 10"),
        ("0 0 5.64", "0 0 0", "no volume"),
        ("1.0\n", "0\n", "no volume"),
    ],
)
def test_broken_poscar_files_are_refused_with_the_line(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert expected in refusal(tmp_path, POSCAR.replace(old, new, 1), "POSCAR")


def test_a_cell_too_small_for_its_atoms_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"C{n} C {n / 300} {n * 0.37 % 1} {n * 0.61 % 1}\n" for n in range(300))
    assert "too small for its 300 atoms" in refusal(tmp_path, CELL + SITES + rows)


def test_atoms_heaped_on_one_place_beside_a_stray_one_are_refused_at_once(tmp_path: Path) -> None:
    rows = "".join(f"C {n * 1e-4} 0 0\n" for n in range(5000))
    assert "on top of each other" in refusal(tmp_path, f"5001\n\n{rows}C 9999 0 0\n", "heap.xyz")
