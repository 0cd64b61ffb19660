"""Which symmetry operations a CIF means."""

from __future__ import annotations

import re

import numpy as np

from mof_benchmark.errors import InvalidFileError
from mof_benchmark.structures import symmetry
from mof_benchmark.structures.cif_syntax import Block
from mof_benchmark.structures.symmetry import Floats, Operations, Setting

_OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_symmetry_equiv_pos_as_xyz_",
)
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NAME = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m",
)
_NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")


def operations_of(block: Block, cell: Floats, warnings: set[str]) -> Operations:
    """The operations listed; else those of the Hall symbol, the name or the number; else P1.

    Raises
    ------
    InvalidFileError
        When the operations are no group or contradict the cell, or when the name leaves open which
        setting is meant.
    """
    listed = block.column(*_OPERATIONS)
    if listed:
        operations = _parse([value.text for value in listed], listed[0].line)
        source = f"The symmetry operations from line {listed[0].line} on"
    else:
        setting = _setting(block, cell)
        if setting is None:
            warnings.add("The CIF gives no symmetry: P1 is assumed, so every atom must be listed.")
            return symmetry.identity()
        operations = symmetry.from_database(setting.hall_number)
        source = f"Space group {setting.number}"
    if not operations.fit_cell(cell):
        raise InvalidFileError(
            f"{source} do not fit the lengths and angles of the cell (a wrong setting, or a wrong cell)."
        )
    return operations


def _parse(texts: list[str], line: int) -> Operations:
    try:
        parsed = [symmetry.parse_operation(text) for text in texts]
    except ValueError as error:
        raise InvalidFileError(f"The symmetry operations from line {line} on: {error}.") from None
    operations = Operations(np.array([r for r, _ in parsed]), np.array([t for _, t in parsed]))
    if not operations.form_a_group():
        raise InvalidFileError(
            f"The {len(texts)} symmetry operations from line {line} on are no group: some are missing or "
            "misspelt, and atoms would be missing with them."
        )
    return operations


def _setting(block: Block, cell: Floats) -> Setting | None:
    hall, name, number = block.value(*_HALL), block.value(*_NAME), block.value(*_NUMBER)
    if hall is not None:
        wanted = re.sub(r"[\s_]", "", hall.text).lower()
        if found := [s for s in symmetry.settings() if s.hall_symbol == wanted]:
            return found[0]
    if name is not None:
        symbol, _, choice = name.text.partition(":")
        wanted = symmetry.normalise_symbol(symbol)
        found = [s for s in symmetry.settings() if wanted in s.symbols]
        if not found:
            raise InvalidFileError(f"Line {name.line}: '{name.text[:30]}' is no space group.")
        return _one_of(found, choice.strip(), cell, f"Line {name.line}: '{name.text[:30]}'")
    if number is not None:
        wanted_number = int(number.number("the space group number"))
        found = [s for s in symmetry.settings() if s.number == wanted_number]
        if not found:
            raise InvalidFileError(f"Line {number.line}: there is no space group {wanted_number}.")
        # By convention a bare number means the first cell choice and axes, never which origin.
        choices = ("1", "2", "H", "R") if found[0].choice in ("1", "2", "H", "R") else (found[0].choice,)
        return _one_of([s for s in found if s.choice in choices], "", cell, f"Space group {wanted_number}")
    return None


def _one_of(found: list[Setting], choice: str, cell: Floats, where: str) -> Setting:
    if choice:
        found = [s for s in found if s.choice.lower() == choice.lower()]
    if len(found) > 1:
        # The cell tells hexagonal from rhombohedral axes, and the unique axis of a monoclinic cell.
        found = [s for s in found if symmetry.from_database(s.hall_number).fit_cell(cell)] or found
    if not found:
        raise InvalidFileError(f"{where} has no setting '{choice}'.")
    if len(found) > 1:
        choices = " or ".join(f"':{s.choice}'" for s in found)
        raise InvalidFileError(
            f"{where} leaves open which origin or setting is meant: add {choices} to the name, or list the "
            "symmetry operations."
        )
    return found[0]
