"""What may be given as `structure=`, and how it becomes what the server takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mofsim_client._effects import Upload
from mofsim_client._exceptions import StructureError

FILE_SUFFIXES = (".cif", ".xyz", ".extxyz", ".poscar", ".vasp")


@runtime_checkable
class AtomsLike(Protocol):
    """An ASE `Atoms`."""

    def get_chemical_symbols(self) -> list[str]: ...
    def get_positions(self) -> Any: ...
    def get_cell(self) -> Any: ...
    def get_pbc(self) -> Any: ...


@runtime_checkable
class StructureObject(Protocol):
    """A pymatgen `Structure`."""

    @property
    def lattice(self) -> Any: ...
    @property
    def cart_coords(self) -> Any: ...
    @property
    def is_ordered(self) -> bool: ...
    @property
    def sites(self) -> Any: ...


@dataclass(frozen=True)
class UploadedId:
    """A structure the server already holds."""

    file_id: str
    name: str | None = None
    """What the task calls it; unset: the name of its first upload."""


@dataclass(frozen=True)
class BuiltinName:
    """A structure that comes with the server."""

    name: str


StructureLike: TypeAlias = str | Path | AtomsLike | StructureObject | UploadedId | BuiltinName
"""A file's path, an ASE `Atoms`, a pymatgen `Structure`, a built-in's name or an uploaded id."""


def resolve_structure(structure: StructureLike) -> Upload | UploadedId | BuiltinName:
    """Decide what a user means.

    Text is an uploaded id when it starts with `struct_`, a built-in when it starts with
    `builtin:`, a file when one lies there, a missing file when it looks like a path, and a
    built-in's name otherwise.

    Raises
    ------
    StructureError
        If the file is absent, the crystal is disordered, or the value is of another kind.
    """
    match structure:
        case UploadedId() | BuiltinName():
            return structure
        case Path():
            return _file(structure)
        case str():
            return _text(structure)
        case StructureObject():
            if not structure.is_ordered:
                raise StructureError("The structure is disordered; give one with whole occupancies.")
            symbols = [site.specie.symbol for site in structure.sites]
            text = extended_xyz(symbols, structure.cart_coords, structure.lattice.matrix, (True, True, True))
        case AtomsLike():
            text = extended_xyz(
                structure.get_chemical_symbols(),
                structure.get_positions(),
                structure.get_cell(),
                structure.get_pbc(),
            )
            symbols = structure.get_chemical_symbols()
        case _:
            raise StructureError(
                f"structure= takes a path, an ASE Atoms, a pymatgen Structure, a built-in's name or an "
                f"uploaded id, not {type(structure).__name__}."
            )
    return Upload(f"{hill_formula(symbols)}.extxyz", text.encode())


def _text(text: str) -> Upload | UploadedId | BuiltinName:
    if text.startswith("struct_"):
        return UploadedId(text)
    if text.startswith("builtin:"):
        return BuiltinName(text.removeprefix("builtin:"))
    path = Path(text).expanduser()
    looks_like_a_path = "/" in text or "\\" in text or path.suffix.lower() in FILE_SUFFIXES
    return _file(path) if looks_like_a_path or path.is_file() else BuiltinName(text)


def _file(path: Path) -> Upload:
    path = path.expanduser()
    if not path.is_file():
        raise StructureError(f"There is no file {path}.")
    return Upload(path.name, path)


def extended_xyz(
    symbols: Sequence[str], positions: Iterable[Any], cell: Iterable[Any], pbc: Iterable[Any]
) -> str:
    """Write a structure as extended XYZ without loss (`repr` of a double reads back the same).

    Parameters
    ----------
    symbols
        Chemical symbols, shape (n_atoms,).
    positions
        Cartesian positions, shape (n_atoms, 3), Å.
    cell
        Cell vectors as rows, shape (3, 3), Å.
    pbc
        Periodicity along each vector.
    """
    lattice = " ".join(repr(float(x)) for row in cell for x in row)
    periodic = " ".join("T" if p else "F" for p in pbc)
    lines = [str(len(symbols)), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="{periodic}"']
    for symbol, position in zip(symbols, positions, strict=True):
        lines.append(" ".join((symbol, *(repr(float(x)) for x in position))))
    return "\n".join(lines) + "\n"


def hill_formula(symbols: Sequence[str]) -> str:
    """Formula in Hill order: C, H, then the alphabet; all alphabetical without carbon."""
    kinds = sorted(set(symbols))
    if "C" in kinds:
        kinds.sort(key=lambda kind: {"C": 0, "H": 1}.get(kind, 2))
    counts = [(kind, list(symbols).count(kind)) for kind in kinds]
    return "".join(kind + (str(n) if n > 1 else "") for kind, n in counts)
