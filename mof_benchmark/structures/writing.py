"""The canonical form of a structure: one deterministic extended XYZ text, full precision."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ase import Atoms

from mof_benchmark.structures.xyz import read_xyz


def canonical_text(atoms: Atoms) -> str:
    """Elements, positions, cell and periodicity, nothing else; equal structures give equal text.

    Every number is written so that reading gives the same float64 back.
    """
    pbc = " ".join("T" if repeats else "F" for repeats in atoms.pbc)
    lattice = " ".join(_exact(value) for value in atoms.cell[:].ravel())
    header = f'Lattice="{lattice}" ' if atoms.cell.rank == 3 else ""
    rows = (
        " ".join((symbol, *(_exact(value) for value in position)))
        for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    )
    return f'{len(atoms)}\n{header}Properties=species:S:1:pos:R:3 pbc="{pbc}"\n' + "\n".join(rows) + "\n"


def write_canonical(atoms: Atoms, path: Path) -> str:
    """Write the canonical text and return its SHA-256 (hex)."""
    text = canonical_text(atoms).encode()
    path.write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def read_canonical(path: Path) -> Atoms:
    """Read what `write_canonical` wrote, bit for bit."""
    text = path.read_text(encoding="utf-8")
    atoms, _ = read_xyz(text, max_atoms=int(text.split("\n", 1)[0]))
    return atoms


def _exact(value: float) -> str:
    # Adding zero turns -0.0 into 0.0, so that equal positions are equal text.
    return repr(float(value) + 0.0)
