"""A fused SevenNet for the CPU: the same numbers, several times faster, with little memory per edge."""

from mof_benchmark.calculators.fused.fuse import ACCELERATOR, fuse
from mof_benchmark.calculators.fused.layout import UnsupportedModelError

__all__ = ["ACCELERATOR", "UnsupportedModelError", "fuse"]
