"""Take an uploaded model apart: what is kept are settings and a file of tensors and plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.custom.scan import CustomFramework
from mof_benchmark.calculators.custom.settings import precision_of, settings_of
from mof_benchmark.calculators.safe_load import load_weights
from mof_benchmark.errors import ModelLoadError, UnsafeModelFileError

_NESTED = ("state_dict", "model_state_dict", "model")
"""Where training scripts put the state dictionary."""


def extract(
    upload: Path,
    framework: CustomFramework,
    config: dict[str, Any],
    *,
    name: str,
    with_d3: bool,
    weights: Path,
) -> ModelCard:
    """Write the safe form of `upload` to `weights` and answer how it is loaded.

    Raises
    ------
    UnsafeModelFileError
        When the file asks for more than weights.
    ModelLoadError
        When it is no model of this framework.
    """
    settings = settings_of(framework, config) | {"file": str(weights)}
    if framework == "mace":
        # Imported here, as every family's packages are.
        from mof_benchmark.calculators.mace_checkpoint import read_mace_file
        from mof_benchmark.calculators.mace_plain import to_plain

        kept = to_plain(read_mace_file(upload))
    elif framework == "sevennet":
        checkpoint = load_weights(upload)
        if not {"model_state_dict", "config"} <= checkpoint.keys():
            raise ModelLoadError("This is no SevenNet checkpoint: no weights or no configuration in it.")
        kept = {
            "model_state_dict": _tensors(checkpoint["model_state_dict"]),
            "config": checkpoint["config"],
        }
    else:
        kept = _state_dictionary(load_weights(upload))
    torch.save(kept, weights)
    # What was kept must itself be readable as weights only: that is how hosts will read it.
    load_weights(weights)
    return ModelCard(
        name=name,
        display_name=name,
        framework=framework,
        with_d3=with_d3,
        dtype=precision_of(framework, config),
        settings=settings,
    )


def _state_dictionary(loaded: dict[str, Any]) -> dict[str, torch.Tensor]:
    for key in _NESTED:
        inner = loaded.get(key)
        if isinstance(inner, dict) and inner and all(isinstance(one, torch.Tensor) for one in inner.values()):
            return _tensors(inner)
    return _tensors(loaded)


def _tensors(found: Any) -> dict[str, torch.Tensor]:
    if not isinstance(found, dict) or not found:
        raise ModelLoadError("The file holds no state dictionary.")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelLoadError(f"The state dictionary holds {str(name)[:60]!r}, which is no tensor.")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UnsafeModelFileError(f"The tensor {name[:60]!r} claims more values than the file holds.")
    return {name: value.detach().contiguous().clone() for name, value in found.items()}
