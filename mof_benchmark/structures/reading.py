"""A structure file of any accepted format to checked atoms, or a sentence that says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ase import Atoms

from mof_benchmark.errors import InvalidFileError, UnsupportedFormatError
from mof_benchmark.schemas.structure import StructureFormat, StructureSummary
from mof_benchmark.structures.checks import DEFAULT_MAX_ATOMS, check_atoms
from mof_benchmark.structures.cif import read_cif
from mof_benchmark.structures.poscar import read_poscar
from mof_benchmark.structures.summary import summarize
from mof_benchmark.structures.xyz import is_extended, read_xyz

MAX_BYTES_PER_ATOM = 5000
"""A text file larger than this times `max_atoms` cannot be one of an accepted size."""
MAX_LINE_LENGTH = 20_000
_READERS: dict[StructureFormat, Callable[[str, int], tuple[Atoms, list[str]]]] = {
    "cif": read_cif,
    "xyz": read_xyz,
    "extxyz": read_xyz,
    "poscar": read_poscar,
}
_SUFFIXES: dict[str, StructureFormat] = {
    ".cif": "cif",
    ".xyz": "xyz",
    ".extxyz": "extxyz",
    ".poscar": "poscar",
    ".vasp": "poscar",
    ".contcar": "poscar",
}


@dataclass(frozen=True)
class ParsedStructure:
    """A structure that passed every check, with what a careful reader should know about it."""

    atoms: Atoms
    format: StructureFormat
    warnings: list[str]
    summary: StructureSummary


def read_structure(
    path: Path, format: str | None = None, *, max_atoms: int = DEFAULT_MAX_ATOMS
) -> ParsedStructure:
    """Read and check a CIF, XYZ, extended XYZ or POSCAR file.

    The content decides what the file is; a suffix or `format` that says otherwise is noticed with a
    warning.

    Parameters
    ----------
    path
        The file; it is read as UTF-8.
    format
        `cif`, `xyz`, `extxyz` or `poscar`, as the sender named it; unset: the suffix.
    max_atoms
        Most atoms in the cell, symmetry images included.

    Raises
    ------
    UnsupportedFormatError
        The content is none of the formats (binary data among them), or `format` is unknown.
    InvalidFileError
        The content is of a format but cannot be computed; the sentence says what and where.
    """
    if format is not None and format not in get_args(StructureFormat):
        raise UnsupportedFormatError(
            f"'{format[:20]}' is not one of {', '.join(get_args(StructureFormat))}.", field="format"
        )
    text = _read_text(path, max_atoms)
    claimed = format or _claimed_format(path)
    found = recognize(text)
    if found is None:
        name = f"a readable {claimed} file" if claimed else "CIF, XYZ, extended XYZ or POSCAR"
        raise UnsupportedFormatError(f"The content is not {name}: {_first_words(text)}")
    atoms, warnings = _READERS[found](text, max_atoms)
    warnings += check_atoms(atoms, max_atoms)
    if claimed and claimed != found and {claimed, found} != {"xyz", "extxyz"}:
        warnings.insert(0, f"The file is named {claimed} but its content is {found}; it is read as {found}.")
    return ParsedStructure(atoms=atoms, format=found, warnings=warnings, summary=summarize(atoms))


def recognize(text: str) -> StructureFormat | None:
    """Tell the format by the content alone."""
    if re.search(r"^\s*data_\S*", text, re.MULTILINE | re.IGNORECASE) and re.search(
        r"^\s*(loop_|_\w)", text, re.MULTILINE | re.IGNORECASE
    ):
        return "cif"
    lines = text.split("\n", 9)
    if re.fullmatch(r"\s*[+-]?\d+\s*", lines[0]):
        return "extxyz" if len(lines) > 1 and is_extended(lines[1]) else "xyz"
    if len(lines) >= 7 and all(_starts_with_numbers(line, 3) for line in lines[2:5]):
        return "poscar" if _starts_with_numbers(lines[1], 1) else None
    return None


def _claimed_format(path: Path) -> StructureFormat | None:
    if path.name.upper().startswith(("POSCAR", "CONTCAR")):
        return "poscar"
    return _SUFFIXES.get(path.suffix.lower())


def _read_text(path: Path, max_atoms: int) -> str:
    size = path.stat().st_size
    if size > max_atoms * MAX_BYTES_PER_ATOM:
        raise InvalidFileError(
            f"The file has {size / 1e6:,.0f} MB, more than any structure of {max_atoms:,} atoms needs."
        )
    raw = path.read_bytes()
    if not raw.strip():
        raise InvalidFileError("The file is empty.")
    if b"\0" in raw:
        raise UnsupportedFormatError("The content is binary data, not the text of a CIF, XYZ or POSCAR file.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Latin-1 author names are common in old CIFs and touch no number; elsewhere it is junk.
        line = raw.count(b"\n", 0, error.start) + 1
        text = raw.decode("latin-1")
        if sum(not (32 <= byte < 127 or byte in b"\t\r\n\f") for byte in raw) > 0.05 * len(raw):
            raise UnsupportedFormatError(
                f"The content is not text: byte {raw[error.start]:#04x} in line {line} is not UTF-8."
            ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for number, line_text in enumerate(text.split("\n"), start=1):
        if len(line_text) > MAX_LINE_LENGTH:
            raise InvalidFileError(
                f"Line {number} has {len(line_text):,} characters; no structure file needs that."
            )
    return text


def _first_words(text: str) -> str:
    first = next(line.strip() for line in text.splitlines() if line.strip())
    return f"it starts with '{first[:40]}'."


def _starts_with_numbers(line: str, count: int) -> bool:
    try:
        return len([float(part) for part in line.split()[:count]]) == count
    except ValueError:
        return False
