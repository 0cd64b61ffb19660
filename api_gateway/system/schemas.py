"""Documents of the system resource."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from api_gateway.database.models import TaskStatus
from api_gateway.envelope import Envelope, Timestamp
from api_gateway.paging import Paging

State = Literal["ok", "degraded", "down"]


class Component(BaseModel):
    """A part of the service."""

    state: State
    latency_ms: float | None = None
    detail: str | None = None


class Health(BaseModel):
    """The service and its parts. Without Prefect or GPUs it still takes tasks: `degraded`."""

    status: State
    components: dict[str, Component]
    version: str


class HealthEnvelope(Envelope[Health]):
    """The usual envelope, with the status at the top as well, for simple probes."""

    status: State


class Probe(BaseModel):
    """A probe's answer."""

    status: Literal["ok"] = "ok"


class RunningTask(BaseModel):
    """What a GPU computes now."""

    task_id: str
    attempt: int


class GpuView(BaseModel):
    """A GPU slot as its host last reported it."""

    gpu_id: int
    state: Literal["idle", "busy", "unhealthy", "lost"]
    host: str | None
    device: str | None = Field(description="`cpu`, or the CUDA device's name.")
    simulated: bool
    spare: bool = Field(description="Kept for preloading, CRITICAL tasks and standing in.")
    memory_total_MB: float | None
    memory_free_MB: float | None
    temperature_C: float | None
    utilisation_percent: float | None
    warm_models: list[str]
    current: RunningTask | None
    error: str | None
    booted_at: Timestamp
    reported_at: Timestamp


class QueueView(BaseModel):
    """The queue at this moment."""

    counts: dict[TaskStatus, int] = Field(description="Tasks in each state.")
    queued_by_priority: dict[str, int]
    capacity: int = Field(description="Most tasks that may wait.")
    oldest_queued_at: Timestamp | None
    usable_gpus: int
    idle_gpus: int
    estimated_wait_seconds: float | None = Field(description="Of a NORMAL task submitted now.")


class ConfigView(BaseModel):
    """The settings in force; every secret is masked."""

    settings: dict[str, Any]


class AuditFilter(Paging):
    """Which lines of the audit log."""

    action: str | None = Field(None, max_length=64, description="Such as `task.delete`.")
    target: str | None = Field(None, max_length=128, description="Identifier of what was acted on.")


class AuditView(BaseModel):
    """An action that someone must be able to account for."""

    id: int
    at: Timestamp
    actor: str = Field(description="Name of the API key, or `command line`.", examples=["ops"])
    action: str = Field(examples=["task.delete"])
    target: str = Field(examples=["task_01kb3jz4zv8m1x2c7d9e5f6g7h"])
    detail: dict[str, Any] = Field(examples=[{"status": "COMPLETED"}])
    request_id: str | None
