"""Empty space that goes right through a cell: what is in it is a slab, a wire or a molecule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

WIDEST_LAYER_GAP_A = 7.0
"""Between the atoms of layers that still belong together; no pore is open over a whole plane."""


@dataclass(frozen=True)
class Vacuum:
    """The widest empty layer between two planes of a cell."""

    axis: str
    width_A: float


def vacuum_layer(atoms: Atoms) -> Vacuum | None:
    """The widest layer without atoms across a full cell, if it is wider than `WIDEST_LAYER_GAP_A`."""
    if len(atoms) == 0 or abs(atoms.cell.volume) < 1e-3:
        return None
    heights_A = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    places = np.sort(atoms.get_scaled_positions(wrap=True), axis=0)
    gaps = np.diff(places, axis=0, append=places[:1] + 1).max(axis=0) * heights_A
    widest = int(gaps.argmax())
    if gaps[widest] <= WIDEST_LAYER_GAP_A:
        return None
    return Vacuum(axis="abc"[widest], width_A=float(gaps[widest]))
