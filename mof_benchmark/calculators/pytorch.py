"""Generic PyTorch weights behind a named interface: SchNet (Schütt et al., J. Chem. Phys. 148, 241722, 2018).

Parameters are named and functions chosen as SchNetPack 2 does (Gaussians, cosine cutoff, shifted
softplus; SiLU and halved width in the energy head), so weights trained there fit.
"""

from __future__ import annotations

import math
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers
from ase.neighborlist import primitive_neighbor_list
from torch import nn

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.memory import require_memory
from mof_benchmark.calculators.registry import weights_path
from mof_benchmark.calculators.safe_load import load_weights, sha256_of_file
from mof_benchmark.errors import ModelLoadError
from mof_benchmark.schemas.custom_model import PyTorchConfig

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_BUFFERS = ("radial_basis.", "cutoff_fn.")
"""Buffers that follow from the configuration."""


def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential:
    """Load a state dictionary; `settings["interface"]` is a `PyTorchConfig`. See `contract`."""
    path = weights_path(card, models_dir)
    config = PyTorchConfig.model_validate(card.settings["interface"])
    network = build_schnet(config, load_weights(path)).to(device=device, dtype=_DTYPES[dtype])
    elements = frozenset(atomic_numbers[symbol] for symbol in config.elements)
    return Potential(
        card=card,
        device=device,
        dtype=dtype,
        checkpoint_sha256=sha256_of_file(path),
        elements=elements,
        make_calculator=lambda: SchNetCalculator(network, config, device=device, dtype=_DTYPES[dtype]),
        package_versions={name: metadata.version(name) for name in ("torch", "ase", "numpy")},
    )


def build_schnet(config: PyTorchConfig, weights: dict[str, Any]) -> SchNet:
    """Build the network and give it the weights.

    Raises
    ------
    ModelLoadError
        When the weights do not fit.
    """
    network = SchNet(config)
    state = {
        name: value
        for name, value in weights.items()
        if not name.removeprefix("representation.").startswith(_BUFFERS)
    }
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ModelLoadError(f"The weights do not fit the interface: {lines[-1].strip()[:300]}") from error
    network.eval().requires_grad_(False)
    return network


def _shifted_softplus(values: torch.Tensor) -> torch.Tensor:
    return nn.functional.softplus(values) - math.log(2.0)


class _Interaction(nn.Module):
    """Continuous-filter convolution: neighbours weighted by a network of their distance."""

    def __init__(self, features: int, filters: int, gaussians: int) -> None:
        super().__init__()
        self.in2f = nn.Linear(features, filters, bias=False)
        self.f2out = nn.ModuleList([nn.Linear(filters, features), nn.Linear(features, features)])
        self.filter_network = nn.ModuleList([nn.Linear(gaussians, filters), nn.Linear(filters, filters)])

    def forward(
        self, atoms: torch.Tensor, expanded: torch.Tensor, damping: torch.Tensor, edges: torch.Tensor
    ) -> torch.Tensor:
        filters = self.filter_network[1](_shifted_softplus(self.filter_network[0](expanded))) * damping
        heard = self.in2f(atoms)
        messages = heard[edges[1]] * filters
        gathered = torch.zeros_like(heard).index_add(0, edges[0], messages)
        return self.f2out[1](_shifted_softplus(self.f2out[0](gathered)))


class SchNet(nn.Module):
    """Atoms' energies of a structure from its neighbour vectors."""

    def __init__(self, config: PyTorchConfig) -> None:
        super().__init__()
        features, filters = config.n_atom_basis, config.n_filters or config.n_atom_basis
        self.cutoff_A = config.cutoff_A
        self.representation = nn.Module()
        self.representation.embedding = nn.Embedding(config.max_z, features, padding_idx=0)
        self.representation.interactions = nn.ModuleList(
            _Interaction(features, filters, config.n_rbf) for _ in range(config.n_interactions)
        )
        head = nn.Module()
        head.outnet = nn.ModuleList([nn.Linear(features, features // 2), nn.Linear(features // 2, 1)])
        self.output_modules = nn.ModuleList([head])
        centres = torch.linspace(0.0, self.cutoff_A, config.n_rbf, dtype=torch.float64)
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, numbers: torch.Tensor, edges: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Energies of the atoms (n_atoms,), eV, from vectors centre to neighbour (n_edges, 3), Å."""
        distances = vectors.norm(dim=1)
        width = self.centres[1] - self.centres[0] if len(self.centres) > 1 else self.centres.new_tensor(1.0)
        expanded = torch.exp(-0.5 * ((distances[:, None] - self.centres) / width) ** 2)
        damping = 0.5 * (torch.cos(distances * (math.pi / self.cutoff_A)) + 1.0)
        damping = (damping * (distances < self.cutoff_A))[:, None]
        atoms = self.representation.embedding(numbers)
        for interaction in self.representation.interactions:
            atoms = atoms + interaction(atoms, expanded, damping, edges)
        layers = self.output_modules[0].outnet
        return layers[1](nn.functional.silu(layers[0](atoms))).squeeze(-1)


class SchNetCalculator(Calculator):
    """SchNet in ASE: energy, forces and stress in one pass, energies summed in double."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, network: SchNet, config: PyTorchConfig, *, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self._network = network
        self._device = device
        self._dtype = dtype
        self._isolated = np.zeros(119)
        for symbol, energy in config.atomic_energies_eV.items():
            self._isolated[atomic_numbers[symbol]] = energy
        filters = config.n_filters or config.n_atom_basis
        # Forward and backward keep some eight arrays per edge and block.
        self._bytes_per_edge = 8.0 * dtype.itemsize * (config.n_rbf + filters * config.n_interactions)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        structure = self.atoms
        centres, neighbours, shifts = primitive_neighbor_list(
            "ijS", structure.pbc, structure.cell.array, structure.positions, self._network.cutoff_A
        )
        if self._device == "cpu":
            require_memory(len(structure), len(centres), bytes_per_edge=self._bytes_per_edge)
        edges = torch.as_tensor(np.stack([centres, neighbours]), device=self._device)
        positions = self._tensor(structure.positions).requires_grad_()
        strain = torch.zeros(3, 3, dtype=self._dtype, device=self._device, requires_grad=True)
        offsets = self._tensor(shifts @ structure.cell.array)
        vectors = positions[edges[1]] - positions[edges[0]] + offsets
        vectors = vectors + vectors @ (strain + strain.T) / 2
        numbers = torch.as_tensor(structure.numbers, dtype=torch.int64, device=self._device)
        energies = self._network(numbers, edges, vectors)
        slope, strain_slope = torch.autograd.grad(energies.sum(), (positions, strain))
        by_atom = energies.detach().double().cpu().numpy() + self._isolated[structure.numbers]
        energy = float(by_atom.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": by_atom,
            "forces": -slope.double().cpu().numpy(),
        }
        if structure.cell.rank == 3:
            stress = strain_slope.double().cpu().numpy() / structure.cell.volume
            self.results["stress"] = stress.reshape(9)[[0, 4, 8, 5, 2, 1]]

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values), dtype=self._dtype, device=self._device)
