"""SevenNet of a newer sevenn than mofsim's own."""

from __future__ import annotations

from typing import Any

import torch


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load a checkpoint; `settings["modal"]` names the data set a multi-fidelity model answers for."""
    # e3nn before 0.5 cannot read its own constants otherwise (https://github.com/e3nn/e3nn/issues/478).
    torch.serialization.add_safe_globals([slice])
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(order["threads"])
    calculator = SevenNetCalculator(
        order["checkpoint"], device=order["device"], modal=order["settings"].get("modal")
    )
    elements = [int(number) for number in calculator.type_map]
    return calculator, {"elements": elements, "distributions": ("sevenn", "e3nn", "torch", "ase", "numpy")}
