"""CIF to atoms, refusing what cannot be computed as it stands."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell

from mof_benchmark.errors import InvalidFileError
from mof_benchmark.structures import symmetry
from mof_benchmark.structures.checks import check_cell_parameters, check_size
from mof_benchmark.structures.cif_symmetry import operations_of
from mof_benchmark.structures.cif_syntax import Block, Value, parse_blocks
from mof_benchmark.structures.elements import is_element, symbol_of, symbol_of_label

_CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_FORMULA_PART = re.compile(r"([A-Z][a-z]?)\s*(\d+\.?\d*)?")
FULL_OCCUPANCY = 0.999
MAX_NAMED = 8


def read_cif(text: str, max_atoms: int) -> tuple[Atoms, list[str]]:
    """Read the first data block that holds a crystal.

    Raises
    ------
    InvalidFileError
        For broken syntax, no atoms, no or an impossible cell, partial occupancy, disorder groups,
        unknown elements or symmetry that does not fit the cell; the sentence says which and where.
    """
    blocks = parse_blocks(text)
    crystals = [block for block in blocks if _coordinate_names(block)]
    warnings: set[str] = set()
    if not crystals:
        raise InvalidFileError("The CIF has no atoms: no loop with '_atom_site_fract_x' in it.")
    block = crystals[0]
    if len(crystals) > 1:
        warnings.add(f"The CIF has {len(crystals)} structures; the first, '{block.name}', is read.")
    cell = _cell(block)
    rows = _rows_that_are_atoms(block, warnings)
    _refuse_disorder(block, rows)
    symbols = _symbols(block, rows, warnings)
    scaled = _scaled_positions(block, rows, cell, warnings)
    operations = operations_of(block, cell, warnings)
    # No orbit is shorter than this: the site symmetry has at most 48 operations.
    check_size(int(np.ceil(len(scaled) * len(operations) / 48)), max_atoms)
    positions, sites = symmetry.expand(scaled, cell, operations)
    check_size(len(positions), max_atoms)
    atoms = Atoms([symbols[site] for site in sites], scaled_positions=positions, cell=cell, pbc=True)
    _compare_with_formula(block, atoms, warnings)
    return atoms, sorted(warnings)


def _coordinate_names(block: Block) -> tuple[str, ...] | None:
    for kind in ("fract", "cartn"):
        names = tuple(f"_atom_site_{kind}_{axis}" for axis in "xyz")
        if all(name in block.columns for name in names):
            return names
    return None


def _cell(block: Block) -> symmetry.Floats:
    parameters = []
    for name in _CELL:
        value = block.value(f"_cell_{name}")
        if value is None:
            raise InvalidFileError(f"The CIF has no unit cell: '_cell_{name}' is missing.")
        parameters.append(value.number(f"'_cell_{name}'"))
    check_cell_parameters(parameters)
    return np.asarray(cellpar_to_cell(parameters), dtype=float)


def _label(block: Block, row: int) -> str:
    labels = block.column("_atom_site_label", "_atom_site_id", "_atom_site_type_symbol")
    return labels[row].text[:20] if labels and row < len(labels) else f"number {row + 1}"


def _rows_that_are_atoms(block: Block, warnings: set[str]) -> list[int]:
    names = _coordinate_names(block) or ()
    n_rows = len(block.columns[names[0]])
    flags = block.columns.get("_atom_site_calc_flag", [])
    dummies = [row for row, flag in enumerate(flags) if flag.text.lower() == "dum"]
    if dummies:
        warnings.add(f"Dummy sites are left out: {_name(block, dummies)}.")
    rows = [row for row in range(n_rows) if row not in set(dummies)]
    if not rows:
        raise InvalidFileError("The CIF has no atoms: its list of sites is empty.")
    return rows


def _name(block: Block, rows: list[int]) -> str:
    named = ", ".join(_label(block, row) for row in rows[:MAX_NAMED])
    return named if len(rows) <= MAX_NAMED else f"{named} and {len(rows) - MAX_NAMED} more"


def _refuse_disorder(block: Block, rows: list[int]) -> None:
    occupancies = block.columns.get("_atom_site_occupancy", [])
    values = {
        row: occupancies[row].number(f"the occupancy of site {_label(block, row)}")
        for row in rows
        if occupancies and occupancies[row].given
    }
    if partial := [row for row, value in values.items() if value < FULL_OCCUPANCY]:
        shown = ", ".join(f"{_label(block, row)} ({values[row]:g})" for row in partial[:MAX_NAMED])
        more = f" and {len(partial) - MAX_NAMED} more" if len(partial) > MAX_NAMED else ""
        raise InvalidFileError(
            f"Sites are partially occupied: {shown}{more}. A calculation needs whole atoms; which of them "
            "are there is your decision: keep one alternative at occupancy 1 and remove the others."
        )
    if over := [row for row, value in values.items() if value > 2 - FULL_OCCUPANCY]:
        raise InvalidFileError(f"Sites have an occupancy above 1: {_name(block, over)}.")
    groups = block.columns.get("_atom_site_disorder_group", [])
    assemblies = block.columns.get("_atom_site_disorder_assembly", [])
    alternatives: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        if groups and groups[row].given:
            assembly = assemblies[row].text if assemblies else "."
            alternatives.setdefault(assembly, {}).setdefault(groups[row].text, []).append(row)
    for groups_of_part in alternatives.values():
        if len(groups_of_part) > 1:
            shown = "; ".join(
                f"group {group}: {_name(block, found)}" for group, found in groups_of_part.items()
            )
            raise InvalidFileError(
                f"The CIF lists alternatives of a disordered part ({shown}). Keep one group and remove the "
                "others."
            )


def _symbols(block: Block, rows: list[int], warnings: set[str]) -> list[str]:
    types = block.columns.get("_atom_site_type_symbol")
    labels = block.column("_atom_site_label", "_atom_site_id")
    source = types or labels
    if source is None:
        raise InvalidFileError(
            "The CIF does not say which elements its sites are: neither '_atom_site_type_symbol' nor "
            "'_atom_site_label' is there."
        )
    formula = _formula(block)
    known = frozenset(formula or ())
    symbols = []
    for row in rows:
        where = f"Site {_label(block, row)} in line {source[row].line}"
        if types and types[row].given:
            symbols.append(symbol_of(types[row].text, where, warnings))
        else:
            symbols.append(symbol_of_label(_label(block, row), where, warnings, known))
    return symbols


def _scaled_positions(
    block: Block, rows: list[int], cell: symmetry.Floats, warnings: set[str]
) -> symmetry.Floats:
    names = _coordinate_names(block) or ()
    missing = [row for row in rows if not all(block.columns[name][row].given for name in names)]
    if missing:
        raise InvalidFileError(f"Sites have no coordinates: {_name(block, missing)}.")
    positions = np.array(
        [
            [block.columns[name][row].number(f"'{name}' of site {_label(block, row)}") for name in names]
            for row in rows
        ]
    )
    if names[0].startswith("_atom_site_cartn"):
        warnings.add("The CIF gives Cartesian coordinates; a along x and b in the xy plane are assumed.")
        positions = positions @ np.linalg.inv(cell)
    return positions


def _formula(block: Block) -> dict[str, float] | None:
    value: Value | None = block.value("_chemical_formula_sum")
    if value is None:
        return None
    counts: dict[str, float] = {}
    for symbol, count in _FORMULA_PART.findall(value.text):
        element = "H" if symbol in ("D", "T") else symbol
        counts[element] = counts.get(element, 0.0) + float(count or 1)
    return counts if counts and all(is_element(symbol) for symbol in counts) else None


def _compare_with_formula(block: Block, atoms: Atoms, warnings: set[str]) -> None:
    formula = _formula(block)
    if formula is None:
        return
    found = Counter(atoms.get_chemical_symbols())
    ratios = [found.get(symbol, 0) / count for symbol, count in formula.items() if count]
    same = set(found) == set(formula) and max(ratios) - min(ratios) < 0.01 * max(ratios)
    if not same:
        given = " ".join(f"{symbol}{count:g}" for symbol, count in sorted(formula.items()))
        read = " ".join(f"{symbol}{count}" for symbol, count in sorted(found.items()))
        warnings.add(
            f"The file's formula ({given}) is not that of its atoms ({read}): solvent or hydrogens may "
            "have been removed, or atoms are missing."
        )
