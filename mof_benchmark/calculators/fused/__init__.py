"""A fused SevenNet for the CPU: the same numbers, several times faster, with little memory per edge."""

from mof_benchmark.calculators.safe_load import allow_e3nn_constants

allow_e3nn_constants()

from mof_benchmark.calculators.fused.fuse import ACCELERATOR, fuse  # noqa: E402
from mof_benchmark.calculators.fused.layout import UnsupportedModelError  # noqa: E402

__all__ = ["ACCELERATOR", "UnsupportedModelError", "fuse"]
