"""SevenNet's own layers on a GPU: several structures in one pass, small ones as a replayed CUDA graph.

A pass on a GPU costs 40 to 60 ms of Python and kernel launches, whatever the size up to some
thousand atoms. Two roads around that: many structures share one pass, and a pass that keeps its
size (dynamics, relaxations) is recorded once and replayed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from mof_benchmark.calculators.passes import Passes, Results, by_structure
from mof_benchmark.calculators.replay import Replayed, Tensors, rounded_up
from mof_benchmark.calculators.safe_load import allow_e3nn_constants

allow_e3nn_constants()

import sevenn._keys as KEY  # noqa: E402, N812
from sevenn.train.dataload import unlabeled_atoms_to_graph  # noqa: E402

MOST_EDGES_REPLAYED = 40_000
"""Beyond this computing takes longer than launching."""
_REDUCTIONS = ("reduce_total_enegy", "force_output")


class EdgeNetwork:
    """A SevenNet model as a function of its edges: energies of atoms and their slope.

    Parameters
    ----------
    model
        An `AtomGraphSequential` on its device; its layers after the atoms' energies are taken off.
    """

    def __init__(self, model: Any) -> None:
        for name in _REDUCTIONS:
            model.delete_module_by_key(name)
        self._model = model
        self.cutoff_A = float(model.cutoff)
        parameter = next(model.parameters())
        self.dtype, self.device = parameter.dtype, parameter.device
        # The package copies its table to the device at each call, which a capture forbids.
        model.z_to_onehot_tensor = model.z_to_onehot_tensor.to(self.device)

    def __call__(self, vectors: torch.Tensor, edges: torch.Tensor, numbers: torch.Tensor) -> Tensors:
        """Energies of the atoms (n_atoms,), eV, and slope of their sum over `vectors` (n_edges, 3), eV/Å.

        `edges` (2, n_edges) are the atoms that `vectors` join, `numbers` (n_atoms,) atomic numbers.
        """
        vectors = vectors.detach().requires_grad_()
        graph = {KEY.EDGE_VEC: vectors, KEY.EDGE_IDX: edges, KEY.ATOMIC_NUMBERS: numbers}
        energies = self._model(graph)[KEY.ATOMIC_ENERGY].reshape(-1)
        (slope,) = torch.autograd.grad(energies.sum(), vectors)
        return energies.detach(), slope


class ReplayedNetwork:
    """An `EdgeNetwork` on a GPU whose passes of a recurring size are replayed.

    The number of edges is rounded up; the edges too many are as long as the cutoff, where the
    network hears nothing.
    """

    def __init__(self, network: EdgeNetwork) -> None:
        self.cutoff_A, self.dtype = network.cutoff_A, network.dtype
        self._network = network
        self._replayed = Replayed(network)

    def __call__(self, vectors: torch.Tensor, edges: torch.Tensor, numbers: torch.Tensor) -> Tensors:
        """As `EdgeNetwork`."""
        n_edges = len(vectors)
        if not 0 < n_edges <= MOST_EDGES_REPLAYED:
            return self._network(vectors, edges, numbers)
        filled = filled_up(vectors, edges, self.cutoff_A)
        energies, slope = self._replayed(*filled, numbers)
        return energies, slope[:n_edges]

    def forget(self) -> None:
        """Give the memory of what was recorded back."""
        self._replayed.forget()


def filled_up(
    vectors: torch.Tensor, edges: torch.Tensor, cutoff_A: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges up to a round number, those too many from the first atom to itself at the cutoff."""
    missing = rounded_up(len(vectors)) - len(vectors)
    silent = vectors.new_tensor([[cutoff_A, 0.0, 0.0]]).expand(missing, 3)
    return torch.cat([vectors, silent]), torch.nn.functional.pad(edges, (0, missing))


class SevenNetPasses(Passes):
    """SevenNet's own layers, energies summed in double.

    The float32 total of the package's own calculator is quantised to 2.4e-4 eV at a few thousand
    eV; the sum of the atoms' energies in double is not.
    """

    def __init__(self, network: EdgeNetwork | ReplayedNetwork, device: str, *, bytes_per_edge: float) -> None:
        super().__init__(device, bytes_per_edge=bytes_per_edge)
        self._network = network
        self._cutoff_A, self._dtype = network.cutoff_A, network.dtype

    def _graph(self, atoms: Atoms) -> dict[str, Any]:
        graph: dict[str, Any] = unlabeled_atoms_to_graph(atoms, self._cutoff_A)
        return graph

    def _count_edges(self, graph: dict[str, Any]) -> int:
        return int(graph[KEY.EDGE_IDX].shape[1])

    def _pass(self, structures: list[tuple[Atoms, dict[str, Any]]]) -> list[Results]:
        n_atoms = np.array([len(atoms) for atoms, _ in structures])
        starts = np.cumsum(n_atoms) - n_atoms
        graphs = [graph for _, graph in structures]
        joined = [graph[KEY.EDGE_IDX] + start for graph, start in zip(graphs, starts, strict=True)]
        edges = self._tensor(np.concatenate(joined, axis=1), torch.int64)
        vectors = self._tensor(np.concatenate([graph[KEY.EDGE_VEC] for graph in graphs]), torch.float64)
        numbers = self._tensor(np.concatenate([atoms.numbers for atoms, _ in structures]), torch.int64)
        energies, slope = self._network(vectors.to(self._dtype), edges, numbers)
        slope = slope.double()
        forces = torch.zeros(len(numbers), 3, dtype=torch.float64, device=self._device)
        forces.index_add_(0, edges[0], slope).index_add_(0, edges[1], slope, alpha=-1)
        owner = torch.repeat_interleave(self._tensor(n_atoms, torch.int64))[edges[0]]
        virials = torch.zeros(len(structures), 9, dtype=torch.float64, device=self._device)
        virials.index_add_(0, owner, (vectors[:, :, None] * slope[:, None, :]).reshape(-1, 9))
        return [
            _results(atoms, *values)
            for (atoms, _), *values in zip(
                structures,
                by_structure(energies, structures),
                by_structure(forces, structures),
                virials.cpu().numpy(),
                strict=True,
            )
        ]

    def _tensor(self, values: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.as_tensor(values, dtype=dtype, device=self._device)


def _results(atoms: Atoms, energies: Any, forces: Any, virial: Any) -> Results:
    energy = float(energies.sum())
    results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": forces}
    if atoms.cell.rank == 3:
        results["stress"] = full_3x3_to_voigt_6_stress(virial.reshape(3, 3)) / atoms.cell.volume
    return results
