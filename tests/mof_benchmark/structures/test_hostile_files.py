"""Damaged files of every format end in an answer or in an error for a person, never in a crash."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mof_benchmark.errors import InputError
from mof_benchmark.structures.reading import read_structure

CIF = """data_salt
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_chemical_formula_sum 'Na1 Cl1'
loop_
_symmetry_equiv_pos_as_xyz
'x,y,z'
'-x,-y,-z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_disorder_group
Na1 Na 0 0 0 1 .
Cl1 Cl 0.5 0.5 0.5 1.0(1) .
"""
XYZ = "2\nsalt\nNa 0 0 0\nCl 2.82 2.82 2.82\n"
EXTXYZ = '2\nLattice="5.6 0 0 0 5.6 0 0 0 5.6" Properties=species:S:1:pos:R:3\nNa 0 0 0\nCl 2.8 2.8 2.8\n'
POSCAR = "salt\n1.0\n5.64 0 0\n0 5.64 0\n0 0 5.64\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"

PIECES = st.sampled_from(
    [
        *(
            "",
            "\n",
            " ",
            "'",
            '"',
            ";",
            "\n;\n",
            "#",
            "_",
            "loop_",
            "data_x",
            "?",
            ".",
            "-",
            "\x0b",
            "\u2028",
        ),
        *("nan", "inf", "1e400", "-1e30", "0", "1", "99999999999", "1/0", "x,y", "x,y,z", "2x,y,z"),
        *("Xx", "D", "Zn2+", "é", "٣", "T", "_cell_length_a 1", "_atom_site_fract_x"),
        *("Lattice=", 'pbc="T F T"', "Properties=id:I:1"),
    ]
)


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """`text` with a few stretches cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(st.one_of(PIECES, st.just(text[start:end] * 2)))
        text = text[:start] + piece + text[end:]
    return text


def read_whatever_it_is(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    with contextlib.suppress(InputError):
        parsed = read_structure(path, max_atoms=500)
        assert 0 < parsed.summary.n_atoms <= 500
        assert "NaN" not in parsed.summary.model_dump_json()


@pytest.mark.parametrize("text", [CIF, XYZ, EXTXYZ, POSCAR], ids=["cif", "xyz", "extxyz", "poscar"])
def test_a_damaged_file_is_read_or_refused(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("damaged") / "file.txt"

    @settings(
        max_examples=150, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(damaged(text))
    def check(content: str) -> None:
        read_whatever_it_is(path, content)

    check()
