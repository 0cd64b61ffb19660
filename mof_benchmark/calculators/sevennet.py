"""SevenNet models (Park et al., J. Chem. Theory Comput. 2024, doi 10.1021/acs.jctc.4c00190)."""

from __future__ import annotations

import threading
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.memory import require_memory
from mof_benchmark.calculators.registry import weights_path
from mof_benchmark.calculators.safe_load import allow_e3nn_constants, load_weights, sha256_of_file
from mof_benchmark.errors import ModelLoadError

allow_e3nn_constants()

import e3nn  # noqa: E402
import sevenn._keys as KEY  # noqa: E402, N812
from sevenn.train.dataload import unlabeled_atoms_to_graph  # noqa: E402
from sevenn.util import model_from_checkpoint  # noqa: E402

from mof_benchmark.calculators.fused import ACCELERATOR, UnsupportedModelError, fuse  # noqa: E402

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_VOIGT_FROM_SEVENNET = [0, 1, 2, 4, 5, 3]
# e3nn's optimization switch is global to the process.
_BUILDING = threading.Lock()
_PACKAGES = ("sevenn", "e3nn", "torch", "ase", "numpy")


def load(card: ModelCard, *, device: str, dtype: str, models_dir: Path) -> Potential:
    """Load a SevenNet checkpoint; see `contract` for the arguments.

    On a CPU the convolutions run fused; `settings["accelerate"]` false keeps the package's own.
    """
    path = weights_path(card, models_dir)
    checkpoint = load_weights(path)
    if device == "cpu" and card.settings.get("accelerate", True):
        model, accelerator = _fused_model(checkpoint, path.name, _DTYPES[dtype])
    else:
        model, accelerator = _plain_model(checkpoint, path.name, _DTYPES[dtype], device), None
    cutoff_A, type_map = float(model.cutoff), dict(model.type_map)
    bytes_per_edge = _bytes_per_edge(checkpoint["config"], _DTYPES[dtype], fused=accelerator is not None)

    def make_calculator() -> Calculator:
        return SevenNetCalculator(
            model,
            cutoff_A=cutoff_A,
            device=device,
            # The fused kernels take distances from the exact vectors.
            dtype=torch.float64 if accelerator else _DTYPES[dtype],
            bytes_per_edge=bytes_per_edge,
        )

    return Potential(
        card=card,
        device=device,
        dtype=dtype,
        checkpoint_sha256=sha256_of_file(path),
        elements=frozenset(type_map),
        make_calculator=make_calculator,
        accelerator=accelerator,
        package_versions={name: metadata.version(name) for name in _PACKAGES},
    )


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


def _fused_model(checkpoint: dict[str, Any], name: str, dtype: torch.dtype) -> tuple[Any, str | None]:
    try:
        return fuse(build_model(checkpoint, name, compiled=False).to(dtype=dtype)), ACCELERATOR
    except UnsupportedModelError:
        # A checkpoint with unusual layers still runs, on the package's own kernels.
        return _plain_model(checkpoint, name, dtype, "cpu"), None


def _to_double(module: Any, inputs: Any, data: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    # The one-hot layer writes float32 whatever the precision of the weights.
    for key in (KEY.NODE_FEATURE, KEY.NODE_ATTR):
        data[key] = data[key].double()
    return data


def _bytes_per_edge(config: dict[str, Any], dtype: torch.dtype, *, fused: bool) -> float:
    """Memory of forward and backward pass for one edge.

    In float32: 150 kB for 7net-0, 291 kB for 7net-l3i5, a tenth of it fused (measured); it grows
    with channels, layers and the components of the spherical harmonics.
    """
    numbers = config["channel"] * config["num_convolution_layer"] * (config["lmax"] + 1) ** 2
    return float(numbers * dtype.itemsize * (0.65 if fused else 6.5))


class SevenNetCalculator(Calculator):
    """SevenNet in ASE: energy, forces and stress in one pass, energies summed in double.

    The float32 total of the package's own calculator is quantised to 2.4e-4 eV at a few thousand
    eV; the sum of the atoms' energies in double is not.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(
        self, model: Any, *, cutoff_A: float, device: str, dtype: torch.dtype, bytes_per_edge: float
    ) -> None:
        super().__init__()
        self._model = model
        self._cutoff_A = cutoff_A
        self._device = device
        self._dtype = dtype
        self._bytes_per_edge = bytes_per_edge

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        graph = self._graph(self.atoms)
        output = self._model(graph)
        energies = output[KEY.ATOMIC_ENERGY].detach().double().cpu().numpy().reshape(-1)
        energy = float(energies.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": energies,
            "forces": output[KEY.PRED_FORCE].detach().double().cpu().numpy(),
        }
        if self.atoms.cell.rank == 3:
            stress = -output[KEY.PRED_STRESS].detach().double().cpu().numpy().reshape(6)
            self.results["stress"] = stress[_VOIGT_FROM_SEVENNET]

    def _graph(self, atoms: Atoms) -> dict[str, Any]:
        arrays = unlabeled_atoms_to_graph(atoms, self._cutoff_A)
        edges = arrays[KEY.EDGE_IDX]
        if self._device == "cpu":
            require_memory(len(atoms), edges.shape[1], bytes_per_edge=self._bytes_per_edge)
        reals = {KEY.EDGE_VEC: arrays[KEY.EDGE_VEC], KEY.CELL_VOLUME: arrays[KEY.CELL_VOLUME]}
        integers = {
            KEY.EDGE_IDX: edges,
            KEY.ATOMIC_NUMBERS: arrays[KEY.ATOMIC_NUMBERS],
            KEY.NUM_ATOMS: arrays[KEY.NUM_ATOMS],
        }
        return {
            key: torch.as_tensor(np.asarray(value), dtype=dtype, device=self._device)
            for table, dtype in ((reals, self._dtype), (integers, torch.int64))
            for key, value in table.items()
        }
