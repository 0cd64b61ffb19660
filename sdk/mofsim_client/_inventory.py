"""What the server tells about structures, models and itself, as typed documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from mofsim_client._documents import Document, TaskFault

AlertLevel = Literal["INFO", "WARNING", "CRITICAL"]


class StructureInfo(Document):
    """An uploaded or built-in structure."""

    file_id: str | None = Field(default=None, description="`struct_…`; null for a built-in.")
    name: str
    format: str | None = None
    n_atoms: int | None = None
    formula: str | None = None
    space_group: str | int | None = Field(
        default=None, description="Symbol, or number in the International Tables."
    )
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
    reason: str | None = Field(default=None, description="Why it is not available.")
    what_to_do: str | None = Field(default=None, description="How to get what is missing.")
    supported_elements: list[str] | None = None
    loaded_on: list[int] = Field(default_factory=list, description="GPUs that hold it warm.")


class ModelCheck(Document):
    """One check of an uploaded model's validation."""

    name: str
    passed: bool
    required: bool = Field(default=True, description="Whether the model is rejected when it fails.")
    value: float | None = Field(default=None, description="What was measured.")
    limit: float | None = Field(default=None, description="What it may be at most.")
    unit: str | None = None
    detail: str = ""


class ModelValidation(Document):
    """What the validation of an uploaded model found."""

    passed: bool
    error: TaskFault | None = Field(default=None, description="Why it could not be tried at all.")
    checks: list[ModelCheck] = Field(default_factory=list)
    elements: list[str] = Field(default_factory=list, description="Elements the model knows.")
    seconds: float | None = None
    peak_memory_MB: float | None = None


class CustomModelInfo(Document):
    """A model that a user uploaded; tasks ask for it by its name once it is validated."""

    model_id: str = Field(description="`model_…`")
    name: str
    framework: str
    description: str = ""
    with_d3: bool
    config: dict[str, Any] = Field(default_factory=dict)
    status: str = Field(description="uploaded, validating, validated or rejected.")
    file_name: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    created_at: datetime | None = None
    validated_at: datetime | None = None
    validation: ModelValidation | None = Field(default=None, description="Its last validation; not in lists.")

    @property
    def validated(self) -> bool:
        """Whether tasks may use it."""
        return self.status == "validated"

    def failed_checks(self) -> list[ModelCheck]:
        """The checks for which it was rejected."""
        checks = self.validation.checks if self.validation else []
        return [check for check in checks if check.required and not check.passed]


class ModelCommand(Document):
    """A request to a GPU to load or release a model."""

    command_id: str
    model: str
    gpu_id: int
    action: str
    state: Literal["pending", "done", "failed"]
    error: TaskFault | None = None


class RunningTask(Document):
    """What a GPU computes now."""

    task_id: str
    attempt: int


class GpuInfo(Document):
    """A GPU slot as its host last reported it."""

    gpu_id: int
    state: str = Field(description="idle, busy, unhealthy or lost.")
    host: str | None = None
    device: str | None = Field(default=None, description="`cpu`, or the CUDA device's name.")
    simulated: bool = False
    spare: bool = Field(default=False, description="Kept for preloading, CRITICAL tasks and standing in.")
    memory_total_MB: float | None = None
    memory_free_MB: float | None = None
    temperature_C: float | None = None
    utilisation_percent: float | None = None
    warm_models: list[str] = Field(default_factory=list)
    current: RunningTask | None = None
    error: str | None = None
    reported_at: datetime | None = None


class QueueInfo(Document):
    """The queue at this moment."""

    counts: dict[str, int] = Field(default_factory=dict, description="Tasks in each state.")
    queued_by_priority: dict[str, int] = Field(default_factory=dict)
    capacity: int | None = Field(default=None, description="Most tasks that may wait.")
    oldest_queued_at: datetime | None = None
    usable_gpus: int | None = None
    idle_gpus: int | None = None
    estimated_wait_seconds: float | None = Field(default=None, description="Of a NORMAL task, s.")


class ComponentHealth(Document):
    """A part of the service."""

    state: str = Field(description="ok, degraded or down.")
    latency_ms: float | None = None
    detail: str | None = None


class Health(Document):
    """The service and its parts."""

    status: str = Field(description="ok, degraded or down.")
    components: dict[str, ComponentHealth] = Field(default_factory=dict)
    version: str | None = None


class SystemStatus(Document):
    """Health, GPUs and queue together."""

    health: Health
    gpus: list[GpuInfo]
    queue: QueueInfo


class AlertInfo(Document):
    """An alert, lasting or over."""

    alert_id: str = Field(description="`alert_…`")
    level: AlertLevel
    type: str = Field(description="The rule's.")
    message: str
    subject: str | None = Field(default=None, description="What it is about: `GPU 3`, …")
    details: dict[str, Any] = Field(default_factory=dict)
    resolved: bool
    timestamp: datetime = Field(description="When it was raised; once resolved, when that was.")
    raised_at: datetime | None = None
    resolved_at: datetime | None = None


class AlertRule(Document):
    """When an alert is raised, and when it is over."""

    type: str
    level: AlertLevel
    description: str
    threshold: float
    clears_at: float
    side: str = Field(description="On which side of the threshold it is an alert: above or below.")
    unit: str
    automation: str | None = Field(default=None, description="Name of the automation in Prefect's UI.")
    muted: bool | None = Field(default=None, description="Its automation is paused; null while not known.")
    active: int = Field(default=0, description="Alerts that last.")


class Amount(Document):
    """So many, so large."""

    count: int
    bytes: int


class StorageInfo(Document):
    """What the server keeps, and how much room is left."""

    results: int
    result_files: Amount
    saved_bytes: int = Field(description="What compression has saved.")
    structures: Amount
    custom_models: Amount
    disk_total_bytes: int
    disk_free_bytes: int
    keep_results_days: int
    expiring_soon: int = Field(description="Results that are cleared away within `remind_before_days`.")
    remind_before_days: int


class StorageDue(Document):
    """What the daily data care would do now."""

    to_compress: Amount
    to_clear: Amount
    tasks: list[str] = Field(default_factory=list, description="Tasks whose results would go.")


class SystemLogLine(Document):
    """A line of the gateway's own log."""

    timestamp: datetime
    level: str = "INFO"
    logger: str | None = None
    message: str

    def __str__(self) -> str:
        return f"{self.timestamp:%H:%M:%S} {self.level:<7} {self.logger or ''} {self.message}"
