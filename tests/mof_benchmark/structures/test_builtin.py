"""The built-in frameworks: composition, symmetry, density, bonds, and the real structures beside them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.data import chemical_symbols
from ase.formula import Formula
from ase.neighborlist import neighbor_list

from mof_benchmark.errors import InvalidParameterError
from mof_benchmark.structures import builtin
from mof_benchmark.structures.checks import check_atoms
from mof_benchmark.structures.reading import read_structure
from mof_benchmark.structures.summary import summarize

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "structures"
CONVENTIONAL = builtin.CONVENTIONAL


@dataclass(frozen=True)
class Expected:
    """What the literature says of a framework."""

    n_atoms: int
    coordination: dict[str, dict[str, tuple[int, float, float]]]
    """For each centre the number of each neighbour, and the range of the bonds, Å."""
    real: str = ""
    """The real structure in the shared folder."""
    density_tolerance: float = 0.02
    """Relative difference of density allowed to the real structure (another temperature or method)."""
    bonds: dict[str, tuple[float, float]] = field(default_factory=dict)


ORGANIC = {
    "C-C": (1.33, 1.56),
    "C-H": (1.05, 1.13),
    "C-O": (1.22, 1.40),
    "C-N": (1.29, 1.42),
    "N-N": (1.33, 1.42),
}
SILICA = {"Si": {"O": (4, 1.55, 1.65)}, "O": {"Si": (2, 1.55, 1.65)}}
EXPECTED = {
    "MOF-5": Expected(106, {"Zn": {"O": (4, 1.88, 2.02)}}, "MOF-5_primitive"),
    "HKUST-1": Expected(156, {"Cu": {"O": (4, 1.90, 2.02)}}, "HKUST-1_primitive"),
    "UiO-66": Expected(114, {"Zr": {"O": (8, 2.03, 2.32)}}, "UiO-66_primitive", 0.04),
    "ZIF-8": Expected(138, {"Zn": {"N": (4, 1.95, 2.05)}}, "zif-8"),
    "Mg-MOF-74": Expected(54, {"Mg": {"O": (5, 1.93, 2.15)}}, "MgMOF74", 0.04),
    "Zn-MOF-74": Expected(54, {"Zn": {"O": (5, 1.93, 2.20)}}, "Zn-MOF-74", 0.04),
    "CALF-20": Expected(44, {"Zn": {"O": (2, 1.95, 2.30), "N": (3, 1.95, 2.15)}}),
    "LTA": Expected(72, SILICA, "LTA", 0.03),
    "FAU": Expected(144, SILICA),
    "SOD": Expected(18, SILICA),
}
BOND_SCALE = 1.25


@pytest.fixture(params=sorted(EXPECTED))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def bonds(atoms: Atoms) -> list[tuple[int, int, float]]:
    """Pairs closer than 1.25 times the sum of the covalent radii, metal–metal and H–H contacts aside."""
    radii = {
        "H": 0.31, "C": 0.73, "N": 0.71, "O": 0.66, "Si": 1.11, "Mg": 1.30,
        "Zn": 1.22, "Cu": 1.32, "Zr": 1.75,
    }  # fmt: skip
    cutoffs = {
        (a, b): BOND_SCALE * (radii[a] + radii[b])
        for a in radii
        for b in radii
        if not ({a, b} <= {"Mg", "Zn", "Cu", "Zr"} or a == b == "H" or a == b == "O")
        and not ("H" in (a, b) and {a, b} & {"Mg", "Zn", "Cu", "Zr", "Si"})
        and not ("C" in (a, b) and {a, b} & {"Mg", "Zn", "Cu", "Zr"})
    }
    first, second, distance = neighbor_list("ijd", atoms, cutoffs)
    return [(int(i), int(j), float(d)) for i, j, d in zip(first, second, distance, strict=True)]


def test_all_that_is_promised_is_there() -> None:
    bare = {info.name for info in builtin.names() if not info.name.endswith(CONVENTIONAL)}
    assert bare == set(EXPECTED)
    assert {"MOF-5-conventional", "HKUST-1-conventional"} <= {info.name for info in builtin.names()}


def test_every_one_names_its_source() -> None:
    for info in builtin.names():
        assert re.fullmatch(r"10\.\d{4}/\S+", info.doi), info.name
        assert re.search(r"\(?(19|20)\d\d\)?", info.source), info.name
        assert info.published, info.name


def test_the_documentation_tells_the_same_sources() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "structures.md").read_text(encoding="utf-8")
    for info in builtin.names():
        assert all(text in page for text in (info.doi, info.source, info.published, info.constructed)), (
            info.name
        )


def test_the_composition_is_that_of_the_formula(name: str) -> None:
    formula = Formula(next(info.formula for info in builtin.names() if info.name == name)).count()
    found = Counter(builtin.build(name).get_chemical_symbols())
    ratios = {found[symbol] / count for symbol, count in formula.items()}
    assert set(found) == set(formula)
    assert len(ratios) == 1
    assert sum(found.values()) == EXPECTED[name].n_atoms


def test_the_space_group_is_the_published_one(name: str) -> None:
    info = builtin.info(name)
    atoms = builtin.build(name)
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=1e-3).number == info.space_group


def test_the_primitive_cell_cannot_be_made_smaller(name: str) -> None:
    atoms = builtin.build(name)
    found = spglib.find_primitive((atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3)
    assert len(found[2]) == len(atoms)


def test_the_density_is_the_published_one(name: str) -> None:
    info = builtin.info(name)
    assert summarize(builtin.build(name)).density_g_cm3 == pytest.approx(info.density_g_cm3, rel=2e-3)


def test_no_atoms_overlap(name: str) -> None:
    assert check_atoms(builtin.build(name)) == []


def test_every_metal_and_silicon_has_its_neighbours(name: str) -> None:
    atoms = builtin.build(name)
    found = bonds(atoms)
    for centre, neighbours in EXPECTED[name].coordination.items():
        for index in np.flatnonzero(atoms.symbols == centre):
            near = [(atoms.symbols[j], d) for i, j, d in found if i == index]
            assert Counter(symbol for symbol, _ in near) == {
                symbol: count for symbol, (count, _, _) in neighbours.items()
            }
            for symbol, d in near:
                _, shortest, longest = neighbours[symbol]
                assert shortest < d < longest, f"{centre}–{symbol} {d:.3f}"


def test_organic_bonds_have_sane_lengths_and_valences(name: str) -> None:
    atoms = builtin.build(name)
    found = bonds(atoms)
    valence = Counter(i for i, j, _ in found if atoms.symbols[j] in ("C", "H", "N", "O"))
    for i, j, d in found:
        pair = "-".join(sorted((atoms.symbols[i], atoms.symbols[j])))
        if pair in ORGANIC:
            shortest, longest = ORGANIC[pair]
            assert shortest < d < longest, f"{pair} {d:.3f}"
    for index in np.flatnonzero(atoms.symbols == "H"):
        assert valence[index] == 1
    for index in np.flatnonzero(atoms.symbols == "C"):
        methyl = sum(atoms.symbols[j] == "H" for i, j, _ in found if i == index) == 3
        assert valence[index] == (4 if methyl else 3)


def test_hydrogens_keep_their_distance_from_each_other(name: str) -> None:
    atoms = builtin.build(name)
    hydrogens = atoms[atoms.symbols == "H"]
    distances = neighbor_list("d", hydrogens, 2.0) if len(hydrogens) else np.array([])
    # Only the hydrogens of one methyl group are so near (1.77 Å).
    assert (distances > 1.7).all()


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data/structures is not on this machine")
@pytest.mark.parametrize(
    "name", [name for name, expected in EXPECTED.items() if expected.real], indirect=True
)
def test_it_is_the_material_of_the_real_structure(name: str) -> None:
    expected, mine = EXPECTED[name], builtin.build(name)
    real = read_structure(SHARED / f"{expected.real}.cif").atoms
    assert (
        Formula(real.get_chemical_formula()).reduce()[0] == Formula(mine.get_chemical_formula()).reduce()[0]
    )
    assert summarize(mine).density_g_cm3 == pytest.approx(
        summarize(real).density_g_cm3, rel=expected.density_tolerance
    )
    # Some of the real files keep the C–H bonds of X-rays, 0.93 Å.
    assert heavy_bonds(mine) == pytest.approx(heavy_bonds(real), abs=0.06)


def heavy_bonds(atoms: Atoms) -> dict[str, float]:
    return {pair: length for pair, length in mean_bonds(atoms).items() if "H" not in pair}


def mean_bonds(atoms: Atoms) -> dict[str, float]:
    lengths: dict[str, list[float]] = {}
    for i, j, d in bonds(atoms):
        lengths.setdefault("-".join(sorted((atoms.symbols[i], atoms.symbols[j]))), []).append(d)
    return {pair: float(np.mean(values)) for pair, values in lengths.items()}


@pytest.mark.parametrize(
    "info", [i for i in builtin.names() if i.name.endswith(CONVENTIONAL)], ids=lambda i: i.name
)
def test_conventional_and_primitive_cell_are_one_crystal(info: builtin.BuiltinInfo) -> None:
    conventional, primitive = builtin.build(info.name), builtin.build(info.name.removesuffix(CONVENTIONAL))
    assert info.n_atoms == len(conventional)
    assert summarize(conventional).density_g_cm3 == pytest.approx(summarize(primitive).density_g_cm3)
    assert mean_bonds(conventional) == pytest.approx(mean_bonds(primitive), abs=1e-6)


def test_what_is_built_is_a_copy_of_its_own(name: str) -> None:
    builtin.build(name).positions[:] = 0
    assert np.ptp(builtin.build(name).positions) > 1


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidParameterError, match="did you mean MOF-5") as caught:
        builtin.build("mof5")
    assert caught.value.field == "structure.name"


def test_every_element_symbol_of_the_data_is_real() -> None:
    for info in builtin.names():
        assert set(builtin.build(info.name).get_chemical_symbols()) <= set(chemical_symbols[1:])
