"""What the documents of all calculations share."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TaskType(StrEnum):
    """The six calculations; the value is the last part of the REST path."""

    OPTIMIZATION = "optimization"
    STABILITY = "stability"
    BULK_MODULUS = "bulk-modulus"
    HEAT_CAPACITY = "heat-capacity"
    INTERACTION_ENERGY = "interaction-energy"
    SINGLE_POINT = "single-point-energy"


class Document(BaseModel):
    """Base of every document: unknown fields are refused, NaN and infinity never leave as numbers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class CalculationParameters(Document):
    """Parameters every calculation takes."""

    with_d3: bool | None = Field(
        None, description="Add PBE-D3(BJ) dispersion; unset: as the model's registry entry says."
    )
    protocol: Literal["default", "mofsimbench"] = Field(
        "default",
        description="`mofsimbench` forces the exact published algorithm and settings; `default` may "
        "reach the same answer by a faster road.",
    )


class CellParameters(Document):
    """Unit cell: lengths in Å, angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float


class OutputFile(Document):
    """A file a calculation wrote, named relative to its work folder."""

    role: str = Field(description="What it is: `optimized_structure`, `trajectory`, `convergence_plot`, …")
    path: str = Field(description="Path relative to the work folder, `/` as separator.")
    media_type: str = Field("application/octet-stream", description="MIME type.")


class Provenance(Document):
    """Enough to run the calculation again and get the same."""

    model: str = Field(description="Registry name of the model.")
    checkpoint_sha256: str | None = Field(description="Digest of the checkpoint file.")
    d3: dict[str, float | str] | None = Field(description="Dispersion settings; null without D3.")
    device: str = Field(description="`cpu`, or the CUDA device's name.")
    dtype: str = Field(description="Precision of the model: float32 or float64.")
    accelerator: str | None = Field(None, description="Fused or vendor kernels in use, if any.")
    structure_sha256: str = Field(description="Digest of the input structure's canonical text.")
    package_versions: dict[str, str] = Field(description="Versions of the packages that computed.")


class Metrics(Document):
    """What the calculation cost."""

    force_evaluations: int = Field(description="Calls of the potential.")
    model_seconds: float = Field(description="Seconds in the model.")
    d3_seconds: float = Field(description="Seconds in the dispersion correction.")
    other_seconds: float = Field(description="Seconds in everything else.")
    peak_memory_MB: float | None = Field(description="Peak resident memory of the process, MB.")
    peak_gpu_memory_MB: float | None = Field(None, description="Peak GPU memory, MB; null on a CPU.")
    avg_step_time_ms: float | None = Field(None, description="Mean wall time of a step, ms.")


class CalculationResult(Document):
    """Base of every result."""

    converged: bool = Field(description="Whether every part of the calculation converged.")
    warnings: list[str] = Field(default_factory=list, description="What a careful reader should know.")
    output_files: list[OutputFile] = Field(default_factory=list, description="Files that were written.")
    provenance: Provenance
    metrics: Metrics
