"""What the server tells, as typed documents; fields newer than this package are kept, not refused."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mofsim_client._display import html_document

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

    def __getitem__(self, name: str) -> Any:
        """A field by its name, also one that is newer than this package."""
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def to_dict(self) -> dict[str, Any]:
        """The document as plain JSON types."""
        return self.model_dump(mode="json")

    def _row(self) -> dict[str, Any]:
        return self.to_dict()

    def _repr_html_(self) -> str:
        return html_document(type(self).__name__, self.to_dict())


class Progress(Document):
    """How far a running task is."""

    stage: str | None = None
    current_step: int | None = None
    total_steps: int | None = None
    percentage: float | None = None
    values: dict[str, Any] | None = Field(default=None, description="What the stage reports: energy, fmax, …")


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
    position: int | None = Field(default=None, description="Place in the queue, while queued.")
    estimated_wait_seconds: float | None = None
    progress: Progress | None = None
    error: TaskFault | None = None
    tags: list[str] = Field(default_factory=list)
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = Field(default=None, description="When it ended, however it ended.")
    duration_seconds: float | None = None
    links: dict[str, Any] = Field(default_factory=dict)

    def _row(self) -> dict[str, Any]:
        shown = self.to_dict()
        progress = self.progress.percentage if self.progress else None
        names = ("task_id", "status", "task_type", "structure_name", "model", "priority", "gpu_id")
        return {
            **{name: shown[name] for name in names},
            "progress_percent": progress,
            "duration_seconds": self.duration_seconds,
            "error": self.error.detail if self.error else None,
        }

    def _repr_html_(self) -> str:
        running = self.status is TaskStatus.RUNNING and self.progress is not None
        values = (self.progress.values if self.progress else None) or {}
        fields = {name: value for name, value in self._row().items() if name not in ("task_id", "status")}
        del fields["progress_percent"]
        if running and self.progress is not None:
            fields |= {"stage": self.progress.stage, **values}
        percentage = self.progress.percentage if running and self.progress else None
        return html_document(self.task_id, fields, self.status, percentage)


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


class DeliveryAttempt(Document):
    """One try of a webhook delivery."""

    number: int
    at: datetime
    status_code: int | None = Field(default=None, description="What the receiver answered; null: nothing.")
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


class TaskFile(Document):
    """A file of an ended task."""

    file_id: str
    role: str = Field(description="What it is: `trajectory`, `optimized_structure`, `nvt_checkpoint`, …")
    path: str = Field(description="In the task's work folder, as `opt/trajectory.traj`.")
    media_type: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    created_at: datetime | None = None
    url: str | None = None


class BatchInfo(Document):
    """A batch and where its tasks stand."""

    batch_id: str
    created_at: datetime | None = None
    n_tasks: int
    counts: dict[str, int] = Field(default_factory=dict, description="Tasks in each state.")
    tasks: list[TaskInfo] = Field(default_factory=list)
