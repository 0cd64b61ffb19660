"""ORB models (Neumann et al., arXiv 2410.22570; version 3: Rhodes et al., arXiv 2504.06231)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import torch
from ase import Atoms
from orb_models.forcefield.atomic_system import SystemConfig, ase_atoms_to_atom_graphs
from orb_models.forcefield.base import AtomGraphs, batch_graphs
from orb_models.forcefield.pretrained import (
    orb_v2_architecture,
    orb_v3_conservative_architecture,
    orb_v3_direct_architecture,
)

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.footprint import footprint
from mof_benchmark.calculators.passes import SHARED, PassCalculator, Passes, Results, by_structure
from mof_benchmark.calculators.registry import MATERIALS_PROJECT_ELEMENTS, weights_path
from mof_benchmark.calculators.safe_load import load_weights, sha256_of_file
from mof_benchmark.errors import ModelLoadError

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_PACKAGES = ("orb-models", "torch", "ase", "numpy")
_CUTOFF_A = 6.0
# torch's default precision is global to the process, and ORB reads it at every evaluation.
_PRECISION = threading.RLock()


def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential:
    """Load an ORB state dictionary; see `contract` for the arguments.

    `settings["architecture"]` is the package's name of the published model; `settings["sizes"]`
    (optional) changes the network's widths and depths, for models of one's own.
    """
    path = weights_path(card, models_dir)
    weights = load_weights(path)
    with _default_dtype(_DTYPES[dtype]):
        model = _network(card.settings["architecture"], card.settings.get("sizes", {}))
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelLoadError(
            f"The weights of {path.name} do not fit {card.settings['architecture']}: {reason}"
        ) from error
    model.to(device=device, dtype=_DTYPES[dtype]).eval().requires_grad_(False)
    # What the published sizes need; smaller networks of one's own need less.
    bytes_per_edge = 1e3 * footprint(replace(card, dtype=cast(Any, dtype)), "cpu").kB_per_edge
    precision = str(card.settings.get("precision", "float32-highest")).removeprefix("float32-")

    passes = OrbPasses(
        model,
        device=device,
        dtype=_DTYPES[dtype],
        matmul_precision=precision,
        bytes_per_edge=bytes_per_edge,
    )
    return Potential(
        card=card,
        device=device,
        dtype=dtype,
        checkpoint_sha256=sha256_of_file(path),
        elements=card.elements or MATERIALS_PROJECT_ELEMENTS,
        make_calculator=lambda: PassCalculator(passes),
        evaluate_many=None if device == "cpu" else passes.evaluate,
        accelerator=None if device == "cpu" else SHARED,
        package_versions={name: metadata.version(name) for name in _PACKAGES},
    )


def _network(architecture: str, sizes: dict[str, Any]) -> Any:
    """Build the network that a published name stands for.

    Version 3 names say whether forces are the energy's gradient and how many neighbours an atom
    hears; `inf` means all within the cutoff, of which there were never more than 120.
    """
    build: Callable[..., Any]
    named = re.match(r"orb-v3-(conservative|direct)-(20|inf)-", architecture)
    if named is not None:
        build = orb_v3_conservative_architecture if named[1] == "conservative" else orb_v3_direct_architecture
        neighbours = 120 if named[2] == "inf" else 20
    elif architecture in {"orb-v2", "orb-d3-v2", "orb-mptraj-only-v2"}:
        build, neighbours = orb_v2_architecture, 20
    else:
        raise ModelLoadError(f"There is no ORB architecture {architecture!r}.")
    config = SystemConfig(radius=_CUTOFF_A, max_num_neighbors=neighbours)
    return build(device="cpu", system_config=config, **sizes)


@contextmanager
def _default_dtype(dtype: torch.dtype, matmul_precision: str | None = None) -> Iterator[None]:
    """Give ORB the process-wide precision it reads, and give the process its own back."""
    with _PRECISION:
        before, matmul_before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
        torch.set_default_dtype(dtype)
        if matmul_precision is not None and dtype == torch.float32:
            torch.set_float32_matmul_precision(matmul_precision)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
            torch.set_float32_matmul_precision(matmul_before)


class OrbPasses(Passes):
    """ORB.

    The energy is not a sum over atoms that could be taken in double: the network's last layers see
    the mean of the atoms' features, and the package forms the total from that in its own precision.
    """

    def __init__(
        self, model: Any, *, device: str, dtype: torch.dtype, matmul_precision: str, bytes_per_edge: float
    ) -> None:
        super().__init__(device, bytes_per_edge=bytes_per_edge)
        self._model = model
        self._dtype = dtype
        self._matmul_precision = matmul_precision
        # Conservative models name their gradients so; direct ones have heads instead.
        self._forces = getattr(model, "grad_forces_name", "forces")
        self._stress = getattr(model, "grad_stress_name", "stress")

    def _graph(self, atoms: Atoms) -> AtomGraphs:
        # The package reads charges, constraints and features from what else atoms carry.
        bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        with _default_dtype(self._dtype):
            return ase_atoms_to_atom_graphs(
                bare, system_config=self._model.system_config, device=self._device
            )

    def _count_edges(self, graph: AtomGraphs) -> int:
        return len(graph.senders)

    def _pass(self, structures: list[tuple[Atoms, AtomGraphs]]) -> list[Results]:
        graphs = [graph for _, graph in structures]
        with _default_dtype(self._dtype, self._matmul_precision):
            output = self._model.predict(batch_graphs(graphs) if len(graphs) > 1 else graphs[0])
        energies = output["energy"].detach().cpu().reshape(-1)
        forces = by_structure(output[self._forces], structures)
        results: list[Results] = []
        for number, (atoms, _) in enumerate(structures):
            energy = float(energies[number])
            results.append({"energy": energy, "free_energy": energy, "forces": forces[number]})
            if atoms.cell.rank == 3 and self._stress in output:
                stress = output[self._stress].reshape(-1, 6)[number]
                results[-1]["stress"] = stress.detach().double().cpu().numpy()
        return results
