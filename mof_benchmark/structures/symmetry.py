"""Space-group operations, and the crystal they make of an asymmetric unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt
import spglib

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SAME_ATOM_A = 0.1
"""Images of one site closer than this are one atom on a special position."""
_TERM = re.compile(r"([+-]?)(?:(\d+/\d+|\d*\.\d+|\d+\.?)\*?)?([xyz]?)")


@dataclass(frozen=True)
class Operations:
    """`x' = rotations[k] @ x + translations[k]` in fractional coordinates, centring included."""

    rotations: Ints
    """Shape (n, 3, 3)."""
    translations: Floats
    """Shape (n, 3), in [0, 1)."""

    def __len__(self) -> int:
        return len(self.rotations)

    def form_a_group(self) -> bool:
        """Whether the product of any two operations is one of them (translations within 0.02)."""
        known = {self._key(r, t) for r, t in zip(self.rotations, self.translations, strict=True)}
        return all(
            self._key(r1 @ r2, r1 @ t2 + t1) in known
            for r1, t1 in zip(self.rotations, self.translations, strict=True)
            for r2, t2 in zip(self.rotations, self.translations, strict=True)
        )

    def fit_cell(self, cell: Floats, tolerance: float = 0.02) -> bool:
        """Whether every rotation keeps the lengths and angles of the cell vectors (rows, Å)."""
        metric = cell @ cell.T
        turned = np.einsum("kji,jl,klm->kim", self.rotations, metric, self.rotations)
        scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
        return bool((np.abs(turned - metric) / scale < tolerance).all())

    @staticmethod
    def _key(rotation: Ints, translation: Floats) -> tuple[int, ...]:
        # In 48ths every translation of the 230 groups is whole, and 0.3333 still rounds to 1/3.
        return (*rotation.astype(int).ravel(), *(np.rint(translation * 48).astype(int) % 48))


def identity() -> Operations:
    return Operations(np.eye(3, dtype=np.int64)[None], np.zeros((1, 3)))


def parse_operation(text: str) -> tuple[Ints, Floats]:
    """Read one operation as CIF writes it, `-y+1/3,x-y,z+0.6667`.

    Raises
    ------
    ValueError
        When it is none.
    """
    parts = text.lower().replace(" ", "").split(",")
    if len(parts) != 3:
        raise ValueError(f"'{text}' has {len(parts)} parts, not 3")
    rotation = np.zeros((3, 3), dtype=np.int64)
    translation = np.zeros(3)
    for row, part in enumerate(parts):
        position = 0
        while position < len(part):
            match = _TERM.match(part, position)
            if match is None or match.end() == position or match.group(0) in "+-":
                raise ValueError(f"'{text}' is not of the form 'x,-y+1/2,z'")
            sign = -1 if match.group(1) == "-" else 1
            number, axis = match.group(2), match.group(3)
            if axis:
                factor = Fraction(number or 1)
                if factor.denominator != 1:
                    raise ValueError(f"'{text}' has a fractional factor of an axis")
                rotation[row, "xyz".index(axis)] += sign * int(factor)
            else:
                translation[row] += sign * float(Fraction(number))
            position = match.end()
    if abs(round(np.linalg.det(rotation))) != 1:
        raise ValueError(f"'{text}' is not a symmetry operation (its determinant is not 1 or -1)")
    return rotation, _snap(translation)


def _snap(translation: Floats) -> Floats:
    """0.3333 means 1/3: put translations onto the 24ths they are rounded from."""
    exact = np.rint(translation * 24) / 24
    return np.where(np.abs(exact - translation) < 2e-3, exact, translation) % 1.0


def from_database(hall_number: int) -> Operations:
    """The operations of one of the 530 settings of the 230 groups (spglib's numbering)."""
    found = spglib.get_symmetry_from_database(hall_number)
    return Operations(np.asarray(found["rotations"], dtype=np.int64), np.asarray(found["translations"]) % 1.0)


@dataclass(frozen=True)
class Setting:
    """One way to write down a space group."""

    hall_number: int
    number: int
    symbols: frozenset[str]
    hall_symbol: str
    choice: str


@cache
def settings() -> tuple[Setting, ...]:
    """All 530 settings, with the normalised symbols each goes by."""
    rows = []
    for hall_number in range(1, 531):
        kind = spglib.get_spacegroup_type(hall_number)
        names = {*kind.international.split("="), kind.international_full}
        if kind.choice in ("", "b1", "b", "abc", "1", "2", "H", "R", "-b1"):
            names.add(kind.international_short)
        rows.append(
            Setting(
                hall_number,
                kind.number,
                frozenset(normalise_symbol(name) for name in names),
                kind.hall_symbol.replace(" ", "").replace("_", "").lower(),
                kind.choice,
            )
        )
    return tuple(rows)


def normalise_symbol(symbol: str) -> str:
    """`F m -3 m`, `Fm3m` and `F M -3 M` are the same name (the bar of cubic groups is optional)."""
    squeezed = re.sub(r"[\s_]", "", symbol).lower()
    return re.sub(r"^([pif][mnad]?)3(?=[mncd])", r"\1-3", re.sub(r"^([pif][mnad])3$", r"\1-3", squeezed))


def expand(
    scaled: Floats, cell: Floats, operations: Operations, same_atom_A: float = SAME_ATOM_A
) -> tuple[Floats, Ints]:
    """Make every atom of the cell from the asymmetric unit.

    A site within `same_atom_A` of its own image is put exactly onto the special position first,
    so that rounded coordinates (0.3333) neither double nor split an atom.

    Parameters
    ----------
    scaled : shape (n, 3)
        Fractional coordinates of the sites.
    cell : shape (3, 3)
        Cell vectors as rows, Å.

    Returns
    -------
    positions, sites
        Fractional coordinates in [0, 1), shape (m, 3), and the site each atom comes from, shape (m,).
    """
    positions: list[Floats] = []
    sites: list[Ints] = []
    for index, site in enumerate(scaled):
        images = operations.rotations @ site + operations.translations
        offset = site - images
        whole = np.rint(offset)
        fixes = np.linalg.norm((offset - whole) @ cell, axis=1) < same_atom_A
        exact = (images[fixes] + whole[fixes]).mean(axis=0)
        images = (operations.rotations @ exact + operations.translations) % 1.0
        kept = _distinct(images, cell, same_atom_A)
        positions.append(images[kept])
        sites.append(np.full(len(kept), index))
    return np.concatenate(positions) % 1.0, np.concatenate(sites)


def _distinct(images: Floats, cell: Floats, same_atom_A: float) -> list[int]:
    kept: list[int] = []
    for index, image in enumerate(images):
        offset = images[kept] - image
        offset -= np.rint(offset)
        if not (np.linalg.norm(offset @ cell, axis=1) < same_atom_A).any():
            kept.append(index)
    return kept
