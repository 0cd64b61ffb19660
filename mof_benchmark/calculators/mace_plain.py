"""A MACE model as plain values and tensors: what is kept of an uploaded `.model` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mof_benchmark.calculators.mace_checkpoint import MaceCheckpoint
from mof_benchmark.calculators.safe_load import load_weights
from mof_benchmark.errors import ModelLoadError

# isort: split
# `mace_checkpoint` prepares torch for the import of e3nn.
from e3nn.o3 import Irreps
from mace.modules import interaction_classes, readout_classes

_IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")
_ARRAYS = ("atomic_energies", "atomic_inter_scale", "atomic_inter_shift")
_CLASSES: dict[str, dict[str, Any]] = {
    "interaction_cls": interaction_classes,
    "interaction_cls_first": interaction_classes,
    "readout_cls": readout_classes,
}


def to_plain(checkpoint: MaceCheckpoint) -> dict[str, Any]:
    """What `torch.save` may store so that `load_weights` reads it."""
    plain: dict[str, Any] = dict(checkpoint.configuration)
    for name in _IRREPS:
        plain[name] = None if plain[name] is None else str(plain[name])
    for name in _ARRAYS:
        plain[name] = torch.as_tensor(np.array(plain[name], dtype=float))
    for name in _CLASSES:
        plain[name] = plain[name].__name__
    plain["gate"] = None if plain["gate"] is None else "silu"
    state = {name: value.detach().clone() for name, value in checkpoint.state.items()}
    return {"configuration": plain, "state": state}


def read_plain(path: Path) -> MaceCheckpoint:
    """Read what `to_plain` made.

    Raises
    ------
    ModelLoadError
        When it is something else.
    """
    stored = load_weights(path)
    try:
        configuration, state = dict(stored["configuration"]), dict(stored["state"])
        for name in _IRREPS:
            if configuration[name] is not None:
                configuration[name] = Irreps(str(configuration[name]))
        for name in _ARRAYS:
            configuration[name] = np.asarray(configuration[name], dtype=float)
        for name, classes in _CLASSES.items():
            configuration[name] = classes[configuration[name]]
        configuration["gate"] = None if configuration["gate"] is None else torch.nn.functional.silu
    except (KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{path.name} is no stored MACE model: {error}") from None
    return MaceCheckpoint(configuration, state)
