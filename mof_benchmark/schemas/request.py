"""The one parameter of every flow: a calculation asked for, bound to a GPU slot and an attempt."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mof_benchmark.schemas.common import Document, TaskType


class StructureInput(Document):
    """A parsed structure in the shared storage."""

    structure_id: str = Field(description="`struct_…` of an upload, or `builtin:NAME`.")
    name: str = Field(description="Name for people.")
    path: str = Field(description="Canonical extended XYZ, relative to the storage root.")
    sha256: str = Field(description="Digest of that file.")


class CalculationRequest(Document):
    """What a flow run computes. No secret is ever in it: Prefect shows it in its UI."""

    task_id: str = Field(description="`task_…`")
    attempt: int = Field(ge=1, description="Attempt number; every write of the attempt is fenced by it.")
    task_type: TaskType
    gpu_id: int = Field(ge=0, description="The slot whose host runs the stages.")
    model: str = Field(description="Registry name of the model.")
    structure: StructureInput
    parameters: dict[str, Any] = Field(description="Validated parameters of the task type.")
    require_convergence: bool = Field(False, description="Fail with 50006 instead of flagging.")
    memory_estimate_MB: float | None = Field(None, description="Expected peak memory; unset: unknown.")
    empty_gpu: bool = Field(False, description="Give the calculation the GPU's whole memory.")
    request_id: str = Field(description="`req_…` of the submission, carried into every log line.")
