"""SevenNet's forward and backward pass by hand: no autograd graph, no array per edge and channel."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from e3nn.o3 import Irreps

from mof_benchmark.calculators.fused.blocks import BlockLinear, Blocks, Convolution, Edges, Gate
from mof_benchmark.calculators.fused.geometry import Floats, Integers, forces_and_virial, harmonics_of_edges
from mof_benchmark.calculators.fused.layout import UnsupportedModelError, harmonics_recursion
from mof_benchmark.errors import UnphysicalError


@dataclass(frozen=True)
class Evaluation:
    """Per-atom energies in eV, forces in eV/Å (atoms, 3), virial dE/dstrain in eV (3, 3)."""

    energies_eV: Floats
    forces_eV_A: Floats
    virial_eV: Floats


@dataclass(frozen=True)
class Layer:
    """One interaction block."""

    self_connection: BlockLinear
    before: BlockLinear
    convolution: Convolution
    after: BlockLinear
    gate: Gate


class FusedNetwork:
    """Energies, forces and virial of a SevenNet model on the CPU.

    Its weights are never written after construction, so threads may share one network.

    Parameters
    ----------
    model
        An `AtomGraphSequential` as sevenn builds it from a checkpoint; left unchanged.

    Raises
    ------
    UnsupportedModelError
        When a layer is not of the kinds that SevenNet-0 and 7net-l3i5 are made of.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        modules = dict(model.named_children())
        embedding = _take(modules, "edge_embedding")
        modules.pop("onehot_idx_to_onehot", None)
        species = _take(modules, "onehot_to_feature_x").linear
        dtype = species.weight.dtype
        self.species = BlockLinear(species, dtype).matrices[0][0][1]
        self.real = np.dtype(str(dtype).removeprefix("torch."))
        self.cutoff_A = float(model.cutoff)
        self.recursion, self.n_harmonics = _harmonics(embedding.spherical.sph)
        self.layers: list[Layer] = []
        while f"{len(self.layers)}_convolution" in modules:
            n = len(self.layers)
            gate_input = BlockLinear(_take(modules, f"{n}_self_interaction_2").linear, dtype)
            _take(modules, f"{n}_self_connection_outro")
            self.layers.append(
                Layer(
                    self_connection=BlockLinear(_linear(_take(modules, f"{n}_self_connection_intro")), dtype),
                    before=BlockLinear(_take(modules, f"{n}_self_interaction_1").linear, dtype),
                    convolution=Convolution(
                        _take(modules, f"{n}_convolution"),
                        embedding,
                        cutoff_A=self.cutoff_A,
                        dtype=dtype,
                        inner_gradient=n > 0,
                    ),
                    after=gate_input,
                    gate=Gate(_take(modules, f"{n}_equivariant_gate").gate, gate_input.layout_out),
                )
            )
        # Energies per atom leave the readout in double: a float32 total of some thousand eV is
        # quantised to 2.4e-4 eV.
        readout = [module for name, module in modules.items() if name not in _AFTER_READOUT]
        self.readout = copy.deepcopy(torch.nn.ModuleList(readout)).double().requires_grad_(False)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def evaluate(
        self, species: Integers, vectors_A: Floats, centre: Integers, neighbour: Integers
    ) -> Evaluation:
        """Evaluate one structure.

        Parameters
        ----------
        species
            The model's species index of each atom, shape (atoms,).
        vectors_A, centre, neighbour
            Every directed edge within the cutoff: its vector from `centre` to `neighbour`,
            shape (edges, 3), and its two atoms, shape (edges,).

        Raises
        ------
        UnphysicalError
            When an edge has no finite length.
        """
        edges = self._edges(len(species), vectors_A, centre, neighbour)
        features: Blocks = [self.species[torch.as_tensor(species)][:, None]]
        trail = []
        for layer in self.layers:
            inner = layer.before.forward(features)
            messages = layer.convolution.forward(edges, inner)
            mixed = layer.after.forward(messages, onto=layer.self_connection.forward(features))
            features, gate_backward = layer.gate.forward(mixed)
            trail.append((inner, gate_backward))
        energies, gradient = self._read_out(features, species)
        gradients: Blocks = [gradient]
        for layer, (inner, gate_backward) in zip(reversed(self.layers), reversed(trail), strict=True):
            gradients = gate_backward(gradients)
            by_inner = layer.convolution.backward(edges, inner, layer.after.backward(gradients))
            if by_inner:
                gradients = layer.before.backward(by_inner, onto=layer.self_connection.backward(gradients))
        forces, virial = np.zeros((len(species), 3)), np.zeros((3, 3))
        forces_and_virial(
            edges.vectors,
            edges.centre,
            edges.neighbour,
            *self.recursion,
            edges.distance,
            edges.harmonics,
            edges.harmonics_gradient,
            edges.distance_gradient,
            forces,
            virial,
        )
        return Evaluation(energies, forces, virial)

    def _edges(self, n_atoms: int, vectors: Floats, centre: Integers, neighbour: Integers) -> Edges:
        if np.any(centre[1:] < centre[:-1]):
            order = np.argsort(centre, kind="stable")
            vectors, centre, neighbour = vectors[order], centre[order], neighbour[order]
        n_edges = len(centre)
        edges = Edges(
            vectors=np.ascontiguousarray(vectors, dtype=np.float64),
            centre=np.ascontiguousarray(centre, dtype=np.int64),
            neighbour=np.ascontiguousarray(neighbour, dtype=np.int64),
            first=np.searchsorted(centre, np.arange(n_atoms + 1)),
            distance=np.empty(n_edges),
            harmonics=np.empty((n_edges, self.n_harmonics), dtype=self.real),
            harmonics_gradient=np.zeros((n_edges, self.n_harmonics), dtype=self.real),
            distance_gradient=np.zeros(n_edges, dtype=self.real),
        )
        harmonics_of_edges(edges.vectors, *self.recursion, edges.distance, edges.harmonics)
        # The kernels turn a distance into a table row; NaN would be read as an address.
        if not np.all(np.isfinite(edges.distance)):
            raise UnphysicalError("an interatomic distance is not a finite number")
        return edges

    def _read_out(self, features: Blocks, species: Integers) -> tuple[Floats, torch.Tensor]:
        with torch.enable_grad():
            source = features[0].detach()[:, 0].double().requires_grad_(True)
            data = {"x": source, "atom_type": torch.as_tensor(species)}
            for module in self.readout:
                data = module(data)
            energies = data["atomic_energy"][:, 0]
            (gradient,) = torch.autograd.grad(energies.sum(), source)
        return energies.detach().numpy(), gradient.to(features[0].dtype)[:, None].contiguous()


_AFTER_READOUT = {"reduce_total_enegy", "force_output"}


def _take(modules: dict[str, Any], name: str) -> Any:
    if name not in modules:
        raise UnsupportedModelError(f"no layer {name}")
    return modules.pop(name)


def _linear(module: Any) -> Any:
    if not hasattr(module, "linear"):
        raise UnsupportedModelError(f"self connection {module}")
    return module.linear


def _harmonics(spherical: Any) -> tuple[tuple[Any, ...], int]:
    degrees = [irrep.l for _, irrep in Irreps(spherical.irreps_out)]
    if (
        not spherical.normalize
        or spherical.normalization != "component"
        or degrees != list(range(len(degrees)))
    ):
        raise UnsupportedModelError(f"spherical harmonics {spherical}")
    rows = np.array(harmonics_recursion(degrees[-1]), dtype=np.float64).reshape(-1, 4).T
    low, axis, high = (row.astype(np.int64) for row in rows[:3])
    return (low, axis, high, np.ascontiguousarray(rows[3])), len(degrees) ** 2
