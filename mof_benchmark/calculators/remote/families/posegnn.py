"""PosEGNN (IBM Research, huggingface.co/ibm-research/materials.pos-egnn).

The package is the folder `models/pos_egnn/posegnn` of https://github.com/IBM/materials; it is not
published as a distribution.
"""

from __future__ import annotations

from typing import Any

import torch
from posegnn.calculator import PosEGNNCalculator


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load a `.ckpt` checkpoint, which the package reads as weights only."""
    torch.set_num_threads(order["threads"])
    calculator = PosEGNNCalculator(order["checkpoint"], device=order["device"], compute_stress=True)
    # H to Bi and Ac to Pu, the elements of the Materials Project trajectories.
    elements = [*range(1, 84), *range(89, 95)]
    return calculator, {"elements": elements, "distributions": ("torch-geometric", "torch", "ase", "numpy")}
