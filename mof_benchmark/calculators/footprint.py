"""How much memory a model needs for a structure, known without loading it.

Memory of a forward and backward pass is linear in the edges of the model's graph; the figures are
what was measured on the published networks. Nothing here imports torch: the gateway asks before a
task is queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mof_benchmark.calculators.contract import Framework, ModelCard

DeviceKind = Literal["cpu", "cuda"]

BASE_MB: dict[DeviceKind, float] = {"cpu": 1500.0, "cuda": 500.0}
"""What is there before the first edge: on a CPU the whole process, on a GPU weights and kernels."""

D3_BYTES_PER_PAIR_OF_ATOMS: dict[DeviceKind, float] = {"cpu": 16.0, "cuda": 64.0}
"""simple-dftd3 keeps two numbers for each pair of atoms of the cell, `dense_dispersion` eight (measured)."""

SEVENNET_FRACTION: dict[DeviceKind, float] = {"cpu": 0.1, "cuda": 0.75}
"""Of what its layers take on a CPU: the fused convolution there, the same layers on a GPU (measured)."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Appetite of a model in float32.

    Attributes
    ----------
    cutoff_A
        Radius within which atoms are joined by edges, Å.
    kB_per_edge
        Memory of forward and backward pass for one edge, kB.
    most_neighbours
        The graph keeps only as many nearest neighbours of an atom; None: all.
    """

    cutoff_A: float
    kB_per_edge: float
    most_neighbours: int | None = None

    def edges(self, neighbours: Mapping[float, int], n_atoms: int) -> int:
        """Edges of the model's graph.

        Parameters
        ----------
        neighbours
            Ordered pairs within each of some radii (Å), as `count_neighbours` gives them.
        n_atoms
            Atoms in the cell.
        """
        larger = [radius for radius in neighbours if radius >= self.cutoff_A]
        if larger:
            count = neighbours[min(larger)]
        else:
            largest = max(neighbours)
            count = round(neighbours[largest] * (self.cutoff_A / largest) ** 3)
        return count if self.most_neighbours is None else min(count, n_atoms * self.most_neighbours)

    def memory_MB(self, edges: float, device: DeviceKind) -> float:
        """Peak memory of an evaluation, MB."""
        return BASE_MB[device] + edges * self.kB_per_edge / 1e3


_BY_FRAMEWORK: dict[Framework, Footprint] = {
    "sevennet": Footprint(cutoff_A=5.0, kB_per_edge=150.0),
    "mace": Footprint(cutoff_A=6.0, kB_per_edge=105.0),
    "orb": Footprint(cutoff_A=6.0, kB_per_edge=60.0, most_neighbours=120),
}
_OF_OTHERS = Footprint(cutoff_A=6.0, kB_per_edge=150.0)
"""Families without a measured figure: the largest of the common cutoffs, as dear as SevenNet-0."""

_SEVENNET_KB_PER_EDGE = {"7net-l3i5": 291.0}
_SEVENNET_OMPA = Footprint(cutoff_A=6.0, kB_per_edge=291.0)
_ORB_FEW_NEIGHBOURS = 20


def footprint(card: ModelCard, device: DeviceKind) -> Footprint:
    """The appetite of a model on a kind of device."""
    found = _BY_FRAMEWORK.get(card.framework, _OF_OTHERS)
    kB_per_edge, neighbours = found.kB_per_edge, found.most_neighbours
    if card.framework == "sevennet":
        if "modal" in card.settings:
            found = _SEVENNET_OMPA
        kB_per_edge = _SEVENNET_KB_PER_EDGE.get(card.settings.get("checkpoint", ""), found.kB_per_edge)
        kB_per_edge *= SEVENNET_FRACTION[device]
    if card.framework == "orb" and "inf" not in card.settings.get("architecture", "inf"):
        neighbours = _ORB_FEW_NEIGHBOURS
    if card.dtype == "float64":
        kB_per_edge *= 2
    return Footprint(cutoff_A=found.cutoff_A, kB_per_edge=kB_per_edge, most_neighbours=neighbours)
