"""Structures that share a network's pass: on a GPU one small structure costs as much as a dozen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from mof_benchmark.calculators.memory import require_memory

Results = dict[str, Any]

SHARED = "shared passes"
"""What a result's provenance calls it."""
MOST_EDGES = 100_000
"""Beyond this a larger pass is no faster for each structure (H100)."""
SHARE_OF_MEMORY = 0.25
"""Structures share a pass as long as it takes no more of the device's memory."""


class Passes(ABC):
    """A model that evaluates several structures at once; a family says how.

    Parameters
    ----------
    bytes_per_edge
        Memory of a pass for one edge; on a CPU what does not fit is refused.
    """

    def __init__(self, device: str, *, bytes_per_edge: float) -> None:
        self._device = torch.device(device)
        self._bytes_per_edge = bytes_per_edge
        self._most_edges = MOST_EDGES
        if self._device.type == "cuda":
            memory = torch.cuda.get_device_properties(self._device).total_memory
            self._most_edges = min(MOST_EDGES, int(SHARE_OF_MEMORY * memory / bytes_per_edge))

    def evaluate(self, structures: Sequence[Atoms]) -> Iterator[Results]:
        """ASE's results of each structure, in order; as many in one pass as is good for the device.

        Raises
        ------
        OutOfMemoryError
            When a structure alone does not fit the machine's memory.
        """
        waiting: list[tuple[Atoms, Any]] = []
        edges_waiting = 0
        for atoms in structures:
            graph = self._graph(atoms)
            n_edges = self._count_edges(graph)
            if self._device.type == "cpu":
                require_memory(len(atoms), n_edges, bytes_per_edge=self._bytes_per_edge)
            if waiting and edges_waiting + n_edges > self._most_edges:
                yield from self._pass(waiting)
                waiting, edges_waiting = [], 0
            waiting.append((atoms, graph))
            edges_waiting += n_edges
        if waiting:
            yield from self._pass(waiting)

    @abstractmethod
    def _graph(self, atoms: Atoms) -> Any:
        """What the network takes of one structure."""

    @abstractmethod
    def _count_edges(self, graph: Any) -> int: ...

    @abstractmethod
    def _pass(self, structures: list[tuple[Atoms, Any]]) -> Sequence[Results]:
        """Results of structures with their graphs, evaluated together."""


class PassCalculator(Calculator):
    """ASE's face of a model that evaluates in passes: one structure, one pass."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, passes: Passes) -> None:
        super().__init__()
        self._passes = passes

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        (self.results,) = self._passes.evaluate([self.atoms])


def by_structure(values: torch.Tensor, structures: list[tuple[Atoms, Any]]) -> list[NDArray[np.float64]]:
    """Values of all atoms of a pass, in double, parted by structure."""
    ends = np.cumsum([len(atoms) for atoms, _ in structures])
    return np.split(values.detach().double().cpu().numpy(), ends[:-1])
