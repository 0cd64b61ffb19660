"""Typed documents: parameters and results of the six calculations (pydantic, no torch).

The same classes serve the GPU host, the database, REST and the SDK's schema. `CALCULATIONS`
maps each task type to its parameters and its result.
"""

from mof_benchmark.schemas.bulk_modulus import BulkModulusParameters, BulkModulusResult
from mof_benchmark.schemas.common import (
    CalculationResult,
    CellParameters,
    Document,
    Metrics,
    OutputFile,
    Provenance,
    TaskType,
)
from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters, HeatCapacityResult
from mof_benchmark.schemas.interaction_energy import InteractionEnergyParameters, InteractionEnergyResult
from mof_benchmark.schemas.optimization import OptimizationParameters, OptimizationResult
from mof_benchmark.schemas.protocol import is_published, overruled, settled
from mof_benchmark.schemas.request import CalculationRequest, StructureInput
from mof_benchmark.schemas.single_point import SinglePointParameters, SinglePointResult
from mof_benchmark.schemas.stability import StabilityParameters, StabilityResult

CALCULATIONS: dict[TaskType, tuple[type[Document], type[CalculationResult]]] = {
    TaskType.SINGLE_POINT: (SinglePointParameters, SinglePointResult),
    TaskType.OPTIMIZATION: (OptimizationParameters, OptimizationResult),
    TaskType.STABILITY: (StabilityParameters, StabilityResult),
    TaskType.BULK_MODULUS: (BulkModulusParameters, BulkModulusResult),
    TaskType.HEAT_CAPACITY: (HeatCapacityParameters, HeatCapacityResult),
    TaskType.INTERACTION_ENERGY: (InteractionEnergyParameters, InteractionEnergyResult),
}

__all__ = [
    "CALCULATIONS",
    "BulkModulusParameters",
    "BulkModulusResult",
    "CalculationRequest",
    "CalculationResult",
    "CellParameters",
    "Document",
    "HeatCapacityParameters",
    "HeatCapacityResult",
    "InteractionEnergyParameters",
    "InteractionEnergyResult",
    "Metrics",
    "OptimizationParameters",
    "OptimizationResult",
    "OutputFile",
    "Provenance",
    "SinglePointParameters",
    "SinglePointResult",
    "StabilityParameters",
    "StabilityResult",
    "StructureInput",
    "TaskType",
    "is_published",
    "overruled",
    "settled",
]
