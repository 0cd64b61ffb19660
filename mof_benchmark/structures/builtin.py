"""The built-in frameworks, made from published crystal data (`data/*.toml`, one file each).

Each file gives the space group, the cell and the asymmetric unit, their source, and says which of
it was published and which was constructed. A bare name is the primitive cell; where that is smaller
than the published one, `NAME-conventional` is the cell as published.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.geometry import cellpar_to_cell

from mof_benchmark.errors import InvalidParameterError
from mof_benchmark.structures import symmetry

CONVENTIONAL = "-conventional"


@dataclass(frozen=True, kw_only=True)
class BuiltinInfo:
    """A built-in framework: what it is and where its crystal data come from."""

    name: str
    title: str
    formula: str
    """Formula unit, `Zn4O(C8H4O4)3`."""
    description: str
    source: str
    doi: str
    published: str
    """Which of the data were published."""
    constructed: str
    """Which were constructed, and how; empty when all were published."""
    space_group: int
    density_g_cm3: float
    """Density of the published cell and composition, g/cm³."""
    n_atoms: int


def names() -> list[BuiltinInfo]:
    """Every built-in framework, by name."""
    return [info(name) for name in sorted(_catalogue())]


def build(name: str) -> Atoms:
    """Make the atoms of a built-in framework, periodic, without calculator.

    Raises
    ------
    InvalidParameterError
        No built-in has that name; the sentence suggests the nearest.
    """
    catalogue = _catalogue()
    if name not in catalogue:
        bare = {re.sub(r"\W", "", known).lower(): known for known in catalogue}
        wanted = re.sub(r"\W", "", name).lower()
        near = [bare[match] for match in get_close_matches(wanted, bare)] or sorted(catalogue)
        raise InvalidParameterError(
            f"There is no built-in structure '{name[:40]}'; did you mean {', '.join(near)}?",
            field="structure.name",
        )
    return _build(name).copy()


def info(name: str) -> BuiltinInfo:
    data = _catalogue()[name]
    kind = "conventional cell" if name.endswith(CONVENTIONAL) else "primitive cell"
    shared = {
        key: data[key]
        for key in ("formula", "source", "doi", "published", "constructed", "space_group", "density_g_cm3")
    }
    return BuiltinInfo(
        name=name,
        title=f"{data['title']}, {kind}",
        description=data["description"],
        n_atoms=len(_build(name)),
        **shared,
    )


@cache
def _catalogue() -> dict[str, dict[str, Any]]:
    catalogue = {}
    for file in sorted(
        resources.files("mof_benchmark.structures").joinpath("data").iterdir(), key=lambda f: f.name
    ):
        if file.name.endswith(".toml"):
            data = tomllib.loads(file.read_text(encoding="utf-8"))
            catalogue[data["name"]] = data
            if _is_centred(data):
                catalogue[data["name"] + CONVENTIONAL] = data
    return catalogue


def _is_centred(data: dict[str, Any]) -> bool:
    rotations = symmetry.from_database(data["hall_number"]).rotations
    return bool((rotations == np.eye(3)).all(axis=(1, 2)).sum() > 1)


@cache
def _build(name: str) -> Atoms:
    data = _catalogue()[name]
    operations = symmetry.from_database(data["hall_number"])
    cell = np.asarray(cellpar_to_cell(data["cell"]), dtype=float)
    positions, sites = symmetry.expand(
        np.array([site[1:] for site in data["sites"]], dtype=float), cell, operations
    )
    symbols = [data["sites"][site][0] for site in sites]
    atoms = Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)
    if name.endswith(CONVENTIONAL) or not _is_centred(data):
        return atoms
    lattice, scaled, numbers = spglib.standardize_cell(
        (atoms.cell[:], positions, atoms.numbers), to_primitive=True, no_idealize=True, symprec=1e-3
    )
    primitive = Atoms(numbers, scaled_positions=scaled % 1.0, cell=lattice, pbc=True)
    return primitive[np.argsort(-primitive.numbers, kind="stable")]
