"""Load a model of the registry by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from mof_benchmark.calculators import registry
from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.errors import ModelLoadError, ModelWeightsMissingError, MofsimError


def load_potential(
    name: str, *, device: str = "cpu", dtype: str | None = None, models_dir: Path
) -> Potential:
    """Load a model of the registry.

    Parameters
    ----------
    name
        Registry name, such as `sevennet_prod`.
    device
        `cpu`, `cuda` or `cuda:<index>`.
    dtype
        `float32` or `float64`; unset: as the registry entry says.
    models_dir
        Folder of model weights and of the environments of families that live apart.

    Raises
    ------
    ModelNotFoundError, ModelWeightsMissingError, ModelLoadError, UnsafeModelFileError
        No such model; package or weights not on this host; they cannot be loaded; the file
        holds more than weights.
    """
    return load_card(registry.card(name), device=device, dtype=dtype, models_dir=models_dir)


def load_card(
    card: ModelCard, *, device: str = "cpu", dtype: str | None = None, models_dir: Path
) -> Potential:
    """Load the model a card describes, as `load_potential` does (for models that users added)."""
    ready = registry.availability(card, models_dir)
    if not ready.available:
        raise ModelWeightsMissingError(f"{ready.reason} {ready.what_to_do}", field="model")
    python = registry.environment_python(card, models_dir)
    module = "remote.adapter" if python is not None and python.exists() else card.framework
    try:
        # The adapter of a family is imported only here, so that its packages load when used.
        adapter = importlib.import_module(f"mof_benchmark.calculators.{module}")
        return cast(
            Potential,
            adapter.load(card, device=device, dtype=dtype or card.dtype, models_dir=models_dir),
        )
    except MofsimError:
        raise
    except Exception as error:
        raise ModelLoadError(f"{card.name} could not be loaded: {error}", field="model") from error
