"""What runs in the worker process: a file from a stranger becomes canonical text and a summary.

Nothing here touches the database or the event loop. The process is limited in memory and CPU
time, its caller limits its time by the clock, and its death costs one answer.
"""

from __future__ import annotations

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from api_gateway.errors import StructureNotFoundError
from mof_benchmark.errors import InvalidParameterError
from mof_benchmark.schemas.structure import StructureFormat, StructureSummary
from mof_benchmark.structures import builtin, reading
from mof_benchmark.structures.builtin import BuiltinInfo
from mof_benchmark.structures.neighbours import count_neighbours
from mof_benchmark.structures.summary import space_group_symbol, summarize
from mof_benchmark.structures.writing import write_canonical

MEMORY_BYTES = 4 * 1024**3
CPU_SECONDS = 60


@dataclass(frozen=True)
class ParsedFile:
    """What the gateway keeps of a parsed structure."""

    format: StructureFormat
    summary: StructureSummary
    elements: tuple[str, ...]
    warnings: tuple[str, ...]
    sha256: str
    """Digest of the canonical text."""
    neighbours: dict[float, int]
    """Ordered pairs of atoms within each of some radii, Å."""


def parse_file(source: Path, format_hint: str | None, canonical: Path) -> ParsedFile:
    """Read `source` and write its canonical extended XYZ to `canonical`.

    Raises
    ------
    UnsupportedFormatError, InvalidFileError
        As `mof_benchmark.structures.reading.read_structure` does.
    """
    _limit_process()
    parsed = reading.read_structure(source, format_hint)
    return ParsedFile(
        format=parsed.format,
        summary=parsed.summary,
        elements=_elements(parsed.atoms),
        warnings=tuple(parsed.warnings),
        sha256=write_canonical(parsed.atoms, canonical),
        neighbours=count_neighbours(parsed.atoms),
    )


def build_builtin(name: str, canonical: Path) -> ParsedFile:
    """Build a structure that comes with the service and write its canonical extended XYZ.

    Raises
    ------
    StructureNotFoundError
        When there is none of that name.
    """
    try:
        atoms = builtin.build(name)
    except InvalidParameterError as error:
        raise StructureNotFoundError(error.detail, field=error.field) from None
    canonical.parent.mkdir(parents=True, exist_ok=True)
    # Several gateways may do this at once, and a host may be reading.
    draft = canonical.with_suffix(f".{os.getpid()}")
    digest = write_canonical(atoms, draft)
    draft.replace(canonical)
    return ParsedFile(
        format="extxyz",
        summary=summarize(atoms),
        elements=_elements(atoms),
        warnings=(),
        sha256=digest,
        neighbours=count_neighbours(atoms),
    )


@dataclass(frozen=True)
class BuiltinEntry:
    """A structure that comes with the service, as it is listed."""

    info: BuiltinInfo
    space_group: str
    """International short symbol."""


def list_builtins() -> list[BuiltinEntry]:
    """Every structure that comes with the service; building them takes a moment."""
    return [BuiltinEntry(info, space_group_symbol(info.space_group)) for info in builtin.names()]


def _elements(atoms: Atoms) -> tuple[str, ...]:
    return tuple(sorted(set(atoms.get_chemical_symbols())))


def _limit_process() -> None:
    """A hostile cell must take neither the machine's memory nor its time.

    The process serves many files, so each gets its own CPU time on top of what was spent before;
    beyond it the system ends the process, even inside a library that never returns to Python.
    """
    _set_soft(resource.RLIMIT_AS, MEMORY_BYTES)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft(resource.RLIMIT_CPU, math.ceil(spent.ru_utime + spent.ru_stime) + CPU_SECONDS)


def _set_soft(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
