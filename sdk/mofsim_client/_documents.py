"""What the server tells, as typed documents; fields newer than this package are kept, not refused."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Priority = Literal["CRITICAL", "HIGH", "NORMAL", "LOW"]


class TaskStatus(StrEnum):
    """Where a task is in its life."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"

    @property
    def ended(self) -> bool:
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.TIMEOUT)


class Document(BaseModel):
    """Base of what the server sends."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    def to_dict(self) -> dict[str, Any]:
        """The document as plain JSON types."""
        return self.model_dump(mode="json")


class Progress(Document):
    """How far a running task is."""

    stage: str | None = None
    current_step: int | None = None
    total_steps: int | None = None
    percentage: float | None = None
    values: dict[str, Any] | None = Field(None, description="What the stage reports: energy, fmax, …")


class TaskFault(Document):
    """Why a task failed."""

    code: int
    type: str | None = None
    detail: str | None = None
    stage: str | None = None


class TaskInfo(Document):
    """A task as the server last told it."""

    task_id: str
    status: TaskStatus
    task_type: str | None = None
    model: str | None = None
    structure_id: str | None = None
    structure_name: str | None = None
    priority: str | None = None
    batch_id: str | None = None
    gpu_id: int | None = None
    attempt: int | None = None
    position: int | None = Field(None, description="Place in the queue, while queued.")
    estimated_wait_seconds: float | None = None
    progress: Progress | None = None
    error: TaskFault | None = None
    tags: list[str] = Field(default_factory=list)
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = Field(None, description="When it ended, however it ended.")
    duration_seconds: float | None = None
    links: dict[str, Any] = Field(default_factory=dict)


class LogLine(Document):
    """A line of a task's log."""

    timestamp: datetime
    level: str = "INFO"
    logger: str | None = None
    message: str
    task_id: str | None = None
    gpu_id: int | None = None
    extra: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{self.timestamp:%H:%M:%S} {self.level:<7} {self.message}"


class Event(Document):
    """One event of a task's stream: `log`, `status`, `progress` or `end`."""

    id: str = ""
    type: str
    data: dict[str, Any] = Field(default_factory=dict)


class StructureInfo(Document):
    """An uploaded or built-in structure."""

    file_id: str | None = Field(None, description="`struct_…`; null for a built-in.")
    name: str
    format: str | None = None
    n_atoms: int | None = None
    formula: str | None = None
    space_group: str | int | None = Field(None, description="Symbol, or number in the International Tables.")
    cell_parameters: dict[str, float] | None = None
    density_g_cm3: float | None = None
    warnings: list[str] = Field(default_factory=list)


class ModelInfo(Document):
    """A potential the server knows."""

    name: str
    display_name: str | None = None
    framework: str | None = None
    with_d3: bool | None = None
    available: bool | None = None
    reason: str | None = Field(None, description="Why it is not available.")
    what_to_do: str | None = Field(None, description="How to get what is missing.")
    supported_elements: list[str] | None = None
    loaded_on: list[int] = Field(default_factory=list, description="GPUs that hold it warm.")


class ModelCommand(Document):
    """A request to a GPU to load or release a model."""

    command_id: str
    model: str
    gpu_id: int
    action: str
    state: Literal["pending", "done", "failed"]
    error: TaskFault | None = None


class DeliveryAttempt(Document):
    """One try of a webhook delivery."""

    number: int
    at: datetime
    status_code: int | None = Field(None, description="What the receiver answered; null: nothing.")
    latency_ms: float | None = None
    error: str | None = None


class WebhookDelivery(Document):
    """A webhook message and every attempt to deliver it."""

    delivery_id: str
    event: str
    url: str | None = None
    status: str
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    attempts: list[DeliveryAttempt] = Field(default_factory=list)


class SystemStatus(Document):
    """Health, GPUs and queue together."""

    health: dict[str, Any]
    gpus: list[dict[str, Any]]
    queue: dict[str, Any]
