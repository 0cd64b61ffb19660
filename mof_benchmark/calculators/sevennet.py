"""SevenNet models (Park et al., J. Chem. Theory Comput. 2024, doi 10.1021/acs.jctc.4c00190)."""

from __future__ import annotations

import threading
import warnings
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.footprint import SEVENNET_FRACTION
from mof_benchmark.calculators.passes import SHARED, PassCalculator, Passes, Results
from mof_benchmark.calculators.registry import weights_path
from mof_benchmark.calculators.safe_load import allow_e3nn_constants, load_weights, sha256_of_file
from mof_benchmark.errors import ModelLoadError

allow_e3nn_constants()

import e3nn  # noqa: E402
import sevenn._keys as KEY  # noqa: E402, N812
from sevenn.train.dataload import unlabeled_atoms_to_graph  # noqa: E402
from sevenn.util import model_from_checkpoint  # noqa: E402

from mof_benchmark.calculators.fused import ACCELERATOR, UnsupportedModelError, fuse  # noqa: E402
from mof_benchmark.calculators.sevennet_passes import EdgeNetwork, ReplayedNetwork, SevenNetPasses  # noqa: E402

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_VOIGT_FROM_SEVENNET = [0, 1, 2, 4, 5, 3]
# e3nn's optimization switch is global to the process.
_BUILDING = threading.Lock()
_PACKAGES = ("sevenn", "e3nn", "torch", "ase", "numpy")


def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential:
    """Load a SevenNet checkpoint; see `contract` for the arguments.

    On a CPU the convolutions run fused, on a GPU structures share passes and small ones replay CUDA
    graphs; `settings["accelerate"]` false keeps the package's own layers, one structure at a time.
    """
    path = weights_path(card, models_dir)
    checkpoint = load_weights(path)
    accelerate = card.settings.get("accelerate", True)
    fused = _fused_model(checkpoint, path.name, _DTYPES[dtype]) if accelerate and device == "cpu" else None
    model = fused if fused is not None else _plain_model(checkpoint, path.name, _DTYPES[dtype], device)
    potential = partial(
        Potential,
        card=card,
        device=device,
        dtype=dtype,
        checkpoint_sha256=sha256_of_file(path),
        elements=frozenset(model.type_map),
        package_versions={name: metadata.version(name) for name in _PACKAGES},
    )
    bytes_per_edge = _bytes_per_edge(checkpoint["config"], _DTYPES[dtype])
    if fused is not None:
        bytes_per_edge *= SEVENNET_FRACTION["cpu"]
        one_by_one = FusedPasses(fused, bytes_per_edge=bytes_per_edge)
        return potential(make_calculator=lambda: PassCalculator(one_by_one), accelerator=ACCELERATOR)
    network = EdgeNetwork(model)
    if device == "cpu" or not accelerate:
        plain = SevenNetPasses(network, device, bytes_per_edge=bytes_per_edge)
        return potential(make_calculator=lambda: PassCalculator(plain))
    replayed = ReplayedNetwork(network)
    bytes_per_edge *= SEVENNET_FRACTION["cuda"]
    passes = SevenNetPasses(replayed, device, bytes_per_edge=bytes_per_edge)
    _warm_up(passes, min(model.type_map))
    return potential(
        make_calculator=lambda: PassCalculator(passes),
        evaluate_many=passes.evaluate,
        forget=replayed.forget,
        accelerator=f"{SHARED}, CUDA graphs",
    )


def _warm_up(passes: SevenNetPasses, number: int) -> None:
    """Let PyTorch compile what it compiles in the first two passes, half a second each on a GPU."""
    for spacing_A in (2.0, 2.2):
        list(passes.evaluate([Atoms(numbers=[number, number], positions=[[0, 0, 0], [spacing_A, 0, 0]])]))


def build_model(checkpoint: dict[str, Any], name: str, *, compiled: bool = True) -> Any:
    """Build the network of a checkpoint that was read safely, ready to evaluate one structure.

    Parameters
    ----------
    compiled
        Let e3nn compile its tensor products, which takes most of the time; not needed where
        they are replaced.

    Raises
    ------
    ModelLoadError
        When it is not a SevenNet checkpoint.
    """
    if not {"model_state_dict", "config"} <= checkpoint.keys():
        raise ModelLoadError(f"{name} is not a SevenNet checkpoint: no weights or no configuration in it.")
    with _BUILDING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        defaults = e3nn.get_optimization_defaults()
        e3nn.set_optimization_defaults(jit_script_fx=compiled)
        try:
            # The package corrects old configurations in place.
            model, _ = model_from_checkpoint({**checkpoint, "config": dict(checkpoint["config"])})
        finally:
            e3nn.set_optimization_defaults(**defaults)
    model.set_is_batch_data(False)
    model.eval()
    model.requires_grad_(False)
    return model


def _plain_model(checkpoint: dict[str, Any], name: str, dtype: torch.dtype, device: str) -> Any:
    model = build_model(checkpoint, name).to(device=device, dtype=dtype)
    if dtype == torch.float64:
        model.onehot_idx_to_onehot.register_forward_hook(_to_double)
    return model


def _fused_model(checkpoint: dict[str, Any], name: str, dtype: torch.dtype) -> Any:
    try:
        return fuse(build_model(checkpoint, name, compiled=False).to(dtype=dtype))
    except UnsupportedModelError:
        return None  # A checkpoint with unusual layers still runs, on the package's own kernels.


def _to_double(module: Any, inputs: Any, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # The one-hot layer writes float32 whatever the precision of the weights.
    for key in (KEY.NODE_FEATURE, KEY.NODE_ATTR):
        data[key] = data[key].double()
    return data


def _bytes_per_edge(config: dict[str, Any], dtype: torch.dtype) -> float:
    """Memory of forward and backward pass for one edge, by the package's own layers on a CPU.

    In float32: 150 kB for 7net-0, 291 kB for 7net-l3i5 (measured); it grows with channels, layers
    and the components of the spherical harmonics.
    """
    numbers = config["channel"] * config["num_convolution_layer"] * (config["lmax"] + 1) ** 2
    return 6.5 * float(numbers * dtype.itemsize)


class FusedPasses(Passes):
    """SevenNet with the fused convolution, on a CPU, where one structure after the other is fastest."""

    def __init__(self, model: Any, *, bytes_per_edge: float) -> None:
        super().__init__("cpu", bytes_per_edge=bytes_per_edge)
        self._model = model
        self._cutoff_A = float(model.cutoff)

    def _graph(self, atoms: Atoms) -> dict[str, Any]:
        arrays = unlabeled_atoms_to_graph(atoms, self._cutoff_A)
        # The fused kernels take distances from the exact vectors.
        reals, integers = (KEY.EDGE_VEC, KEY.CELL_VOLUME), (KEY.EDGE_IDX, KEY.ATOMIC_NUMBERS)
        return {
            key: torch.as_tensor(np.asarray(arrays[key]), dtype=dtype)
            for keys, dtype in ((reals, torch.float64), (integers, torch.int64))
            for key in keys
        }

    def _count_edges(self, graph: dict[str, Any]) -> int:
        return int(graph[KEY.EDGE_IDX].shape[1])

    def _pass(self, structures: list[tuple[Atoms, dict[str, Any]]]) -> list[Results]:
        return [self._one(atoms, graph) for atoms, graph in structures]

    def _one(self, atoms: Atoms, graph: dict[str, Any]) -> Results:
        output = self._model(graph)
        energies = output[KEY.ATOMIC_ENERGY].numpy().reshape(-1)
        energy = float(energies.sum())
        forces = output[KEY.PRED_FORCE].numpy()
        results = {"energy": energy, "free_energy": energy, "energies": energies, "forces": forces}
        if atoms.cell.rank == 3:
            stress = -output[KEY.PRED_STRESS].numpy().reshape(6)
            results["stress"] = stress[_VOIGT_FROM_SEVENNET]
        return results
