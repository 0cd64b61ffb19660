"""XYZ and extended XYZ to atoms."""

from __future__ import annotations

import io

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from mof_benchmark.errors import InvalidFileError
from mof_benchmark.structures.checks import check_size
from mof_benchmark.structures.elements import symbol_of


def is_extended(comment: str) -> bool:
    """Whether the second line of an XYZ file makes it an extended one."""
    lowered = comment.lower()
    return "lattice=" in lowered or "properties=" in lowered


def read_xyz(text: str, max_atoms: int) -> tuple[Atoms, list[str]]:
    """Read the first frame of an XYZ or extended XYZ file.

    Raises
    ------
    InvalidFileError
        With the line that does not fit the format.
    """
    lines = text.splitlines()
    try:
        n_atoms = int(lines[0])
    except ValueError:
        raise InvalidFileError(
            f"Line 1: '{lines[0][:40]}' is not the number of atoms an XYZ file starts with."
        ) from None
    check_size(max(n_atoms, 0), max_atoms)
    rows = lines[2 : n_atoms + 2]
    if len(rows) < n_atoms:
        raise InvalidFileError(f"The XYZ file promises {n_atoms} atoms in line 1 but lists {len(rows)}.")
    warnings: set[str] = set()
    if any(line.strip() for line in lines[n_atoms + 2 :]):
        warnings.add("The XYZ file goes on after its first frame; the first frame is read.")
    comment = lines[1] if len(lines) > 1 else ""
    atoms = (
        _read_extended([str(n_atoms), comment, *rows], warnings)
        if is_extended(comment)
        else _read_plain(rows, warnings)
    )
    if not atoms.pbc.any():
        warnings.add("The file has no periodic cell: the structure is computed as a molecule in vacuum.")
    return atoms, sorted(warnings)


def _read_plain(rows: list[str], warnings: set[str]) -> Atoms:
    symbols, positions = [], []
    for number, row in enumerate(rows, start=3):
        parts = row.split()
        try:
            positions.append([float(part) for part in parts[1:4]])
        except ValueError:
            parts = []
        if len(parts) < 4:
            raise InvalidFileError(f"Line {number}: '{row[:60]}' is not an element and three coordinates.")
        symbols.append(_symbol(parts[0], number, warnings))
    return Atoms(symbols, positions=np.array(positions), pbc=False)


def _symbol(text: str, line: int, warnings: set[str]) -> str:
    if text.isdigit():
        text = chemical_symbols[int(text)] if 0 < int(text) < len(chemical_symbols) else text
    return symbol_of(text, f"Line {line}", warnings)


def _read_extended(lines: list[str], warnings: set[str]) -> Atoms:
    # `ase.io` takes as long to import as everything else here together.
    from ase.io.extxyz import read_xyz as read_extended_frames

    if "properties=" not in lines[1].lower() or "properties=species:" in lines[1].lower():
        lines = [*lines[:2], *(_without_isotope(line, warnings) for line in lines[2:])]
    try:
        frame = next(iter(read_extended_frames(io.StringIO("\n".join(lines) + "\n"), index=0)))
    # ASE raises errors of many kinds here, an IndexError and a KeyError among them.
    except Exception as error:
        raise InvalidFileError(f"The extended XYZ file cannot be read: {str(error)[:200]}.") from None
    return Atoms(numbers=frame.numbers, positions=frame.positions, cell=frame.cell, pbc=frame.pbc)


def _without_isotope(line: str, warnings: set[str]) -> str:
    parts = line.split(maxsplit=1)
    if len(parts) == 2 and parts[0] in ("D", "T"):
        return f"{symbol_of(parts[0], 'Extended XYZ', warnings)} {parts[1]}"
    return line
