"""Optimizers beyond ASE's own, and the walk over volumes that uses them."""

from mof_benchmark.optimizers.model_hessian import ModelHessianLBFGS
from mof_benchmark.optimizers.springs import SpringModel
from mof_benchmark.optimizers.volume_points import RelaxedPoint, relax_at_volumes

__all__ = ["ModelHessianLBFGS", "RelaxedPoint", "SpringModel", "relax_at_volumes"]
