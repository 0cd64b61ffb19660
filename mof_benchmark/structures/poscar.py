"""POSCAR (VASP 5 and later) to atoms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from ase import Atoms

from mof_benchmark.errors import InvalidFileError
from mof_benchmark.structures.checks import check_size
from mof_benchmark.structures.elements import symbol_of


def read_poscar(text: str, max_atoms: int) -> tuple[Atoms, list[str]]:
    """Read a POSCAR or CONTCAR.

    Raises
    ------
    InvalidFileError
        With the line that does not fit the format; VASP 4 files, which do not name their elements,
        are refused.
    """
    lines = text.splitlines()
    if len(lines) < 8:
        raise InvalidFileError(f"A POSCAR has at least 8 lines; this file ends after {len(lines)}.")
    warnings: set[str] = set()
    cell = np.array([_numbers(lines, number, 3) for number in (3, 4, 5)])
    scale = _scale(lines, cell)
    cell = cell * scale
    names, counts = lines[5].split(), lines[6].split()
    if names and all(name.isdigit() for name in names):
        raise InvalidFileError(
            "Line 6: the elements are not named (VASP 4 format); add a line with their symbols."
        )
    if len(names) != len(counts) or not all(count.isdigit() for count in counts):
        raise InvalidFileError("Lines 6 and 7: every element needs its symbol and its number of atoms.")
    symbols = [
        symbol_of(name.split("_")[0].split("/")[0], "Line 6", warnings)
        for name, count in zip(names, counts, strict=True)
        for _ in range(min(int(count), max_atoms + 1))
    ]
    check_size(len(symbols), max_atoms)
    mode_line = 8 + (lines[7].strip()[:1].lower() == "s")
    mode = lines[mode_line - 1].strip()[:1].lower() if len(lines) >= mode_line else ""
    if mode not in ("d", "c", "k"):
        raise InvalidFileError(f"Line {mode_line}: 'Direct' or 'Cartesian' is expected.")
    positions = np.array([_numbers(lines, mode_line + 1 + row, 3) for row in range(len(symbols))])
    positions = positions @ cell if mode == "d" else positions * scale
    return Atoms(symbols, positions=positions, cell=cell, pbc=True), sorted(warnings)


def _numbers(lines: list[str], line: int, count: int) -> list[float]:
    text = lines[line - 1] if line <= len(lines) else ""
    try:
        values = [float(part) for part in text.split()[:count]]
    except ValueError:
        values = []
    if len(values) < count:
        raise InvalidFileError(f"Line {line}: '{text[:60]}' does not start with {count} number(s).")
    return values


def _scale(lines: list[str], cell: npt.NDArray[np.float64]) -> float:
    """The factor of line 2; a negative one is the volume wanted, Å³ (VASP manual, POSCAR)."""
    scale = _numbers(lines, 2, 1)[0]
    if scale >= 0:
        return scale
    volume = abs(float(np.linalg.det(cell)))
    if volume == 0:
        raise InvalidFileError("The unit cell has no volume: its vectors are zero or lie in a plane.")
    return float((-scale / volume) ** (1 / 3))
