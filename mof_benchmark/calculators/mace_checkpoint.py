"""Read a MACE `.model` file without running anything it asks for.

Such a file is a pickled tree of modules, and reading it the ordinary way runs code that is stored
in it (`torch.fx` graph modules carry their source). Here every module becomes an inert object that
only keeps its state; the configuration and the weights are taken from there, and the network is
built fresh from the installed package.
"""

from __future__ import annotations

import pickle
import threading
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from mof_benchmark.calculators.custom.scan import INERT_PACKAGES
from mof_benchmark.calculators.safe_load import allow_e3nn_constants
from mof_benchmark.errors import ModelLoadError, UnsafeModelFileError

allow_e3nn_constants()

from e3nn.o3._irreps import Irrep, Irreps, _MulIr  # noqa: E402
from mace.modules import ScaleShiftMACE, interaction_classes, readout_classes  # noqa: E402
from mace.tools.scripts_utils import extract_config_mace_model  # noqa: E402
from mace.tools.torch_tools import default_dtype  # noqa: E402
from numpy._core.multiarray import _reconstruct, scalar  # noqa: E402

# torch's default precision is global to the process.
_BUILDING = threading.Lock()

_UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,  # a recursion without end is one
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
)


@dataclass(frozen=True)
class MaceCheckpoint:
    """What makes a MACE model: arguments of `ScaleShiftMACE` and the weights."""

    configuration: dict[str, Any]
    state: dict[str, torch.Tensor]

    @property
    def heads(self) -> list[str]:
        return list(self.configuration["heads"])

    @property
    def atomic_numbers(self) -> list[int]:
        return list(self.configuration["atomic_numbers"])


def read_mace_file(path: Path) -> MaceCheckpoint:
    """Read configuration and weights of a `.model` file.

    Raises
    ------
    UnsafeModelFileError
        When the file asks for anything but modules of MACE, e3nn and torch, tensors and plain
        containers.
    ModelLoadError
        When it is unreadable or another kind of model.
    """
    try:
        root = _inert_tree(path)
        if not isinstance(root, _Inert) or type(root).__name__ != "ScaleShiftMACE":
            raise ModelLoadError(f"{path.name} holds a {type(root).__name__}, not a ScaleShiftMACE.")
        return MaceCheckpoint(_configuration(root), dict(_tensors(root)))
    except _UNREADABLE as error:
        raise ModelLoadError(f"{path.name} is not a readable MACE model: {error}") from None


def build_mace(checkpoint: MaceCheckpoint, dtype: torch.dtype) -> Any:
    """Build the network and give it the weights.

    Raises
    ------
    ModelLoadError
        When the weights do not fit the network of the configuration.
    """
    stored = next(value.dtype for value in checkpoint.state.values() if value.is_floating_point())
    with _BUILDING, warnings.catch_warnings(), default_dtype(stored):
        warnings.simplefilter("ignore")
        model = ScaleShiftMACE(**checkpoint.configuration)
    missing, unexpected = model.load_state_dict(checkpoint.state, strict=False)
    # Tables of Wigner 3j symbols lie in the compiled parts that were not read; they are constants.
    wrong = [key for key in missing if "_w3j_" not in key] + list(unexpected)
    if wrong:
        raise ModelLoadError(f"The weights do not fit the network: {', '.join(wrong[:3])}.")
    return model.to(dtype=dtype).eval().requires_grad_(False)


class _Inert:
    """Stands for an object of a class that must not run: it keeps its state and does nothing."""

    def __init__(self, *_arguments: Any) -> None:
        """Take and forget what the real class would have been called with."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            children = self.__dict__.get(table, {})
            if name in children:
                return children[name]
        raise AttributeError(name)

    def __len__(self) -> int:
        return len(self._children())

    def __getitem__(self, index: int) -> Any:
        return self._children()[index]

    def _children(self) -> list[Any]:
        return list((self.__dict__.get("_modules") or self.__dict__.get("_parameters") or {}).values())


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes as the old pickle protocols write them."""
    if encoding != "latin1":
        raise ValueError(f"unexpected encoding {encoding!r}")
    return text.encode(encoding)


_REAL: dict[tuple[str, str], Any] = {
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("__builtin__", "slice"): slice,
    ("builtins", "slice"): slice,
    ("_codecs", "encode"): _latin1,
    ("collections", "OrderedDict"): OrderedDict,
    ("e3nn.o3._irreps", "Irrep"): Irrep,
    ("e3nn.o3._irreps", "Irreps"): Irreps,
    ("e3nn.o3._irreps", "_MulIr"): _MulIr,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch.nn.functional", "silu"): torch.nn.functional.silu,
    **{("torch", name): getattr(torch, name) for name in ("float32", "float64", "int64", "int32", "bool")},
    **{
        (f"numpy.{core}.multiarray", function.__name__): function
        for core in ("core", "_core")
        for function in (_reconstruct, scalar)
    },
}
"""The only names that mean what they say; none of them can do harm, whatever the arguments."""


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        real = _REAL.get((module, name))
        if real is not None:
            return real
        if module.startswith(INERT_PACKAGES):
            return type(name, (_Inert,), {"__module__": module})
        raise UnsafeModelFileError(f"A MACE model has no use for {module}.{name}; the file was not read.")


def _inert_tree(path: Path) -> Any:
    # torch.load hands an archive with this record to torch.jit, which would run its code.
    if "constants.pkl" in torch._C.PyTorchFileReader(str(path)).get_all_records():
        raise UnsafeModelFileError(f"{path.name} is compiled TorchScript, not weights; it was not read.")
    pickle_module = SimpleNamespace(Unpickler=_InertUnpickler, __name__=__name__)
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=pickle_module)


def _tensors(node: _Inert, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The state dictionary of a tree, as `torch.nn.Module.state_dict` would name it."""
    state = node.__dict__
    passing = state.get("_non_persistent_buffers_set", set())
    for table in ("_parameters", "_buffers"):
        for name, value in state.get(table, {}).items():
            if isinstance(value, torch.Tensor) and name not in passing:
                yield prefix + name, value
    for name, child in state.get("_modules", {}).items():
        if isinstance(child, _Inert):
            yield from _tensors(child, f"{prefix}{name}.")


def _configuration(root: _Inert) -> dict[str, Any]:
    """Arguments of `ScaleShiftMACE`.

    The package generates code from some of them, so each is brought to the plain type it has to
    be of.
    """
    found = extract_config_mace_model(root)
    if found["embedding_specs"] is not None:
        raise ModelLoadError("MACE models with embedded charge or spin are not supported.")
    if found["gate"] not in (None, torch.nn.functional.silu):
        raise ModelLoadError("The model's gate is not SiLU, the only one supported.")
    edge_irreps = found["edge_irreps"]
    return {
        **{name: bool(found[name]) for name in _FLAGS},
        **{name: int(found[name]) for name in _INTEGERS},
        **{name: Irreps(str(found[name])) for name in ("hidden_irreps", "MLP_irreps")},
        **{name: np.asarray(found[name], dtype=float) for name in _ARRAYS},
        "r_max": float(found["r_max"]),
        "avg_num_neighbors": float(found["avg_num_neighbors"]),
        "edge_irreps": None if edge_irreps is None else Irreps(str(edge_irreps)),
        "gate": found["gate"],
        "interaction_cls": interaction_classes[found["interaction_cls"].__name__],
        "interaction_cls_first": interaction_classes[found["interaction_cls_first"].__name__],
        "readout_cls": readout_classes[found["readout_cls"].__name__],
        "atomic_numbers": [int(number) for number in found["atomic_numbers"]],
        "radial_MLP": [int(width) for width in found["radial_MLP"]],
        "radial_type": str(found["radial_type"]),
        "distance_transform": str(found["distance_transform"]),
        "heads": [str(head) for head in found["heads"]],
    }


_FLAGS = (
    "use_reduced_cg",
    "use_so3",
    "use_edge_irreps_first",
    "use_agnostic_product",
    "use_last_readout_only",
    "use_embedding_readout",
    "apply_cutoff",
    "pair_repulsion",
)
_INTEGERS = (
    "num_bessel",
    "num_polynomial_cutoff",
    "max_ell",
    "num_interactions",
    "num_elements",
    "correlation",
)
_ARRAYS = ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift")
