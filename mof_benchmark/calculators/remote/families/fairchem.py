"""FAIRChem's OMat24 models (Barroso-Luque et al., arXiv 2410.12771): EquiformerV2 and eSEN.

Their checkpoints are those of fairchem-core 1; version 2 does not read them.
"""

from __future__ import annotations

from typing import Any

import torch
from fairchem.core import OCPCalculator


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load a `.pt` checkpoint."""
    torch.set_num_threads(order["threads"])
    calculator = OCPCalculator(
        checkpoint_path=order["checkpoint"],
        cpu=order["device"] == "cpu",
        seed=order["settings"].get("seed", 0),
    )
    # H to Bi and Ac to Pu, the elements of the trajectories they were trained on.
    elements = [*range(1, 84), *range(89, 95)]
    return calculator, {"elements": elements, "distributions": ("fairchem-core", "torch", "ase", "numpy")}
