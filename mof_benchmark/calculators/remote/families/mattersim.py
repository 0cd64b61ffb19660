"""MatterSim (Yang et al., arXiv 2405.04967): M3GNet trained by Microsoft Research."""

from __future__ import annotations

from typing import Any

import torch
from ase.units import GPa
from mattersim.forcefield.potential import MatterSimCalculator, Potential


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load a `.pth` checkpoint."""
    torch.set_num_threads(order["threads"])
    # Without the optimizer's state: it is of no use here, and not all checkpoints have it.
    potential = Potential.from_checkpoint(
        order["checkpoint"], device=order["device"], load_training_state=False
    )
    # The package answers in GPa times this weight; ASE wants eV/Å³.
    calculator = MatterSimCalculator(potential=potential, stress_weight=GPa, device=order["device"])
    elements = list(range(1, int(potential.model.max_z) + 1))
    return calculator, {"elements": elements, "distributions": ("mattersim", "torch", "ase", "numpy")}
