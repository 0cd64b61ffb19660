"""MatGL (Ko et al., arXiv 2503.03837): TensorNet and its kin, stored as a folder."""

from __future__ import annotations

from typing import Any

import torch
from ase.data import atomic_numbers
from matgl import load_model
from matgl.ext.ase import PESCalculator


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load a folder of `model.json`, `model.pt` and `state.pt`, which matgl reads as weights only."""
    torch.set_num_threads(order["threads"])
    potential = load_model(order["checkpoint"]).to(order["device"])
    calculator = PESCalculator(potential, stress_unit="eV/A3", use_voigt=True)
    elements = [atomic_numbers[symbol] for symbol in calculator.element_types]
    return calculator, {"elements": elements, "distributions": ("matgl", "torch", "ase", "numpy")}
