"""MACE models (Batatia et al., NeurIPS 2022, arXiv 2206.07697; foundation models arXiv 2401.00096)."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.mace_checkpoint import build_mace, read_mace_file
from mof_benchmark.calculators.mace_plain import read_plain
from mof_benchmark.calculators.passes import SHARED, PassCalculator, Passes, Results, by_structure
from mof_benchmark.calculators.registry import weights_path
from mof_benchmark.calculators.safe_load import sha256_of_file
from mof_benchmark.errors import ModelLoadError

# isort: split
# `mace_checkpoint` prepares torch for the import of e3nn, which mace needs.
from mace.data import AtomicData, KeySpecification, config_from_atoms
from mace.tools.torch_geometric import Batch
from mace.tools.torch_tools import default_dtype
from mace.tools.utils import AtomicNumberTable

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_PACKAGES = ("mace-torch", "e3nn", "torch", "ase", "numpy")


def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential:
    """Load a MACE `.model` file; see `contract` for the arguments.

    `settings["head"]` names the head of a model with several; unset: the one called `default`,
    or the only one. With `settings["plain"]` the file is what `mace_plain` stores of an upload.
    """
    path = weights_path(card, models_dir)
    checkpoint = read_plain(path) if card.settings.get("plain") else read_mace_file(path)
    head = _head(checkpoint.heads, card.settings.get("head"), path.name)
    model = build_mace(checkpoint, _DTYPES[dtype]).to(device)
    passes = MacePasses(model, head=head, device=device, dtype=_DTYPES[dtype])
    return Potential(
        card=card,
        device=device,
        dtype=dtype,
        checkpoint_sha256=sha256_of_file(path),
        elements=frozenset(checkpoint.atomic_numbers),
        make_calculator=lambda: PassCalculator(passes),
        evaluate_many=None if device == "cpu" else passes.evaluate,
        accelerator=None if device == "cpu" else SHARED,
        package_versions={name: metadata.version(name) for name in _PACKAGES},
    )


def _head(heads: list[str], wanted: str | None, file: str) -> str:
    if wanted is None:
        wanted = heads[0] if len(heads) == 1 else "default"
    named = {head.lower(): head for head in heads}
    if wanted.lower() not in named:
        raise ModelLoadError(
            f"{file} has the heads {', '.join(heads)}; the model's entry names none of them."
        )
    return named[wanted.lower()]


def _bytes_per_edge(model: Any, dtype: torch.dtype) -> float:
    """Memory of forward and backward pass for one edge.

    105 kB for 128 channels, l up to 3, two layers, in float32 (measured on a network of the
    published medium size); it grows as SevenNet's does.
    """
    channels = model.node_embedding.linear.irreps_out.dim
    harmonics = model.spherical_harmonics.irreps_out.dim
    return float(6.5 * dtype.itemsize * channels * harmonics * int(model.num_interactions))


class MacePasses(Passes):
    """MACE, energies summed in double.

    The float32 total of the package's own calculator is quantised to 2.4e-4 eV at a few thousand
    eV; the sum of the atoms' energies in double is not.
    """

    def __init__(self, model: Any, *, head: str, device: str, dtype: torch.dtype) -> None:
        super().__init__(device, bytes_per_edge=_bytes_per_edge(model, dtype))
        self._model = model
        self._head = head
        self._dtype = dtype
        self._elements = AtomicNumberTable([int(number) for number in model.atomic_numbers])
        self._cutoff_A = float(model.r_max)

    def _graph(self, atoms: Atoms) -> AtomicData:
        configuration = config_from_atoms(atoms, KeySpecification(), head_name=self._head)
        with default_dtype(self._dtype):
            return AtomicData.from_config(
                configuration, z_table=self._elements, cutoff=self._cutoff_A, heads=self._model.heads
            )

    def _count_edges(self, graph: AtomicData) -> int:
        return int(graph.edge_index.shape[1])

    def _pass(self, structures: list[tuple[Atoms, AtomicData]]) -> list[Results]:
        with_stress = any(atoms.cell.rank == 3 for atoms, _ in structures)
        batch = Batch.from_data_list([graph for _, graph in structures]).to(self._device)
        output = self._model(batch.to_dict(), compute_stress=with_stress)
        energies, forces = (by_structure(output[name], structures) for name in ("node_energy", "forces"))
        results: list[Results] = []
        for number, (atoms, _) in enumerate(structures):
            energy = float(energies[number].sum())
            found = {"energy": energy, "free_energy": energy, "energies": energies[number]}
            results.append({**found, "forces": forces[number]})
            if atoms.cell.rank == 3:
                stress = output["stress"][number].detach().double().cpu().numpy()
                results[-1]["stress"] = full_3x3_to_voigt_6_stress(stress)
        return results
