"""GRACE (Bochkarev, Lysogorskiy, Drautz, Phys. Rev. X 14, 021036, 2024), on TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from ase.data import atomic_numbers
from tensorpotential.calculator import TPCalculator


def load(order: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Load the folder of a saved model."""
    tf.config.threading.set_intra_op_parallelism_threads(order["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(order["threads"])
    if order["device"] == "cpu":
        tf.config.set_visible_devices([], "GPU")
    calculator = TPCalculator(model=order["checkpoint"])
    elements = [atomic_numbers[symbol] for symbol in calculator.element_map]
    return calculator, {
        "elements": elements,
        "distributions": ("tensorpotential", "tensorflow", "ase", "numpy"),
    }
