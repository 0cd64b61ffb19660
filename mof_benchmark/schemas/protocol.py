"""The published protocol: what `protocol: mofsimbench` sets, whatever else was asked for.

Settings of the benchmark's production runs (Kraß, Huang, Moosavi, npj Comput. Mater. 2025, doi
10.1038/s41524-025-01872-3). Seeds, intervals of writing, and the structure's own guest are free.
"""

from __future__ import annotations

from typing import Any, TypeVar

from mof_benchmark.schemas.bulk_modulus import BulkModulusParameters
from mof_benchmark.schemas.common import CalculationParameters
from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters
from mof_benchmark.schemas.optimization import OptimizationParameters
from mof_benchmark.schemas.stability import (
    NptSettings,
    NvtSettings,
    StabilityOptimization,
    StabilityParameters,
)

P = TypeVar("P", bound=CalculationParameters)

PUBLISHED: dict[type[CalculationParameters], dict[str, Any]] = {
    OptimizationParameters: {
        "fmax": 0.001,
        "max_steps": 5000,
        "optimizer": "LBFGS",
        "filter": "FrechetCellFilter",
        "pressure_GPa": 0.0,
    },
    StabilityParameters: {
        "opt": StabilityOptimization(optimizer="LBFGS", filter="none", fmax=0.001, max_steps=1000),
        "nvt": NvtSettings(
            dynamics="langevin", timestep_fs=1.0, temperature_K=300.0, friction_per_fs=0.01, steps=1000
        ),
        "npt": NptSettings(
            dynamics="isotropic_mtk",
            timestep_fs=1.0,
            temperature_K=300.0,
            pressure_bar=1.0,
            tdamp_fs=100.0,
            pdamp_fs=1000.0,
            steps=50_000,
        ),
        "supercell": (1, 1, 1),
    },
    BulkModulusParameters: {
        "strain_range": 0.04,
        "n_points": 11,
        "eos": "birchmurnaghan",
        "optimize_first": True,
        "fmax": 0.001,
        "max_steps": 1000,
    },
    HeatCapacityParameters: {
        "supercell": (1, 1, 1),
        "displacement_A": 0.01,
        "mesh": 100.0,
        "t_min": 0.0,
        "t_max": 1000.0,
        "t_step": 10.0,
        "fmax": 0.001,
        "max_steps": 1000,
        "optimizer": "BFGS",
        "fix_imaginary": False,
        "symmetrize": False,
    },
}
"""A single point and the energy of a given configuration have nothing to choose."""


def is_published(parameters: CalculationParameters) -> bool:
    """Whether the published protocol was asked for."""
    return parameters.protocol == "mofsimbench"


def settled(parameters: P) -> P:
    """The parameters that hold: as asked for, or those of the published protocol."""
    return parameters.model_copy(update=_forced(parameters))


def overruled(parameters: CalculationParameters) -> list[str]:
    """Say what the published protocol set instead of what was asked for.

    A stored request names every parameter: what it leaves at its default nobody asked for.
    """
    return [
        f"Protocol mofsimbench: {name} is {_text(value)}, not {_text(getattr(parameters, name))}."
        for name, value in _forced(parameters).items()
        if getattr(parameters, name) not in (value, _default(parameters, name))
    ]


def _default(parameters: CalculationParameters, name: str) -> Any:
    return type(parameters).model_fields[name].get_default(call_default_factory=True)


def _forced(parameters: CalculationParameters) -> dict[str, Any]:
    if not is_published(parameters):
        return {}
    return {"with_d3": None, **PUBLISHED.get(type(parameters), {})}


def _text(value: Any) -> str:
    return str(value.model_dump()) if hasattr(value, "model_dump") else str(value)
