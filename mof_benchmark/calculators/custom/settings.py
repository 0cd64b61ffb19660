"""What a user's configuration of a model means to the adapter that loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.custom.scan import CustomFramework
from mof_benchmark.schemas.custom_model import CONFIGS, CustomModelCard, MaceConfig, OrbConfig, PyTorchConfig


def settings_of(framework: CustomFramework, config: dict[str, Any]) -> dict[str, Any]:
    """Settings of the model's card, without the file.

    Raises
    ------
    pydantic.ValidationError
        When the configuration is not one of this framework.
    """
    checked = CONFIGS[framework].model_validate(config)
    if isinstance(checked, MaceConfig):
        return {"plain": True, "head": checked.head}
    if isinstance(checked, OrbConfig):
        sizes = checked.sizes.model_dump(exclude_none=True)
        return {"architecture": checked.architecture, "sizes": sizes}
    if isinstance(checked, PyTorchConfig):
        return {"interface": checked.model_dump(mode="json")}
    return {}


def precision_of(framework: CustomFramework, config: dict[str, Any]) -> Literal["float32", "float64"]:
    """Precision the model computes in."""
    return CONFIGS[framework].model_validate(config).precision


def card_of(name: str, with_d3: bool, stored: CustomModelCard, storage_root: Path) -> ModelCard:
    """The card of a validated model, for the gateway and the hosts."""
    return ModelCard(
        name=name,
        display_name=name,
        framework=stored.framework,
        with_d3=with_d3,
        dtype=stored.dtype,
        # An absolute path stays what it is when it is looked for in the models folder.
        settings=stored.settings | {"file": str(storage_root / stored.weights), "sha256": stored.sha256},
        elements=frozenset(stored.elements),
        weights="Uploaded by a user",
    )
