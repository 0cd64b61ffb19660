"""Documents of the task resource; the submissions are made from the table of calculations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias, Union

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from api_gateway.database.models import Priority, TaskStatus
from api_gateway.envelope import Timestamp
from api_gateway.paging import Paging
from mof_benchmark.schemas import CALCULATIONS, TaskType

EVENTS = (
    "task.started",
    "task.progress",
    "task.completed",
    "task.failed",
    "task.cancelled",
    "task.timeout",
)
Event = Literal[
    "task.started", "task.progress", "task.completed", "task.failed", "task.cancelled", "task.timeout"
]
DEFAULT_EVENTS: tuple[Event, ...] = ("task.completed", "task.failed", "task.cancelled", "task.timeout")
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
PriorityName = Literal["CRITICAL", "HIGH", "NORMAL", "LOW"]
Tag = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Secret = Annotated[str, Field(min_length=1, max_length=256)]
StructureName = Annotated[str, Field(min_length=1, max_length=200, examples=["my-mof"])]
Url = Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://")]


class Strict(BaseModel):
    """A request document: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class UploadedStructure(Strict):
    """A structure uploaded before."""

    source: Literal["upload"] = "upload"
    file_id: str = Field(description="`struct_…` from `POST /structures`.", max_length=64)
    name: StructureName | None = Field(
        None,
        description="Name of the structure in this task; unset: the upload's. The same content uploaded "
        "under two names is one structure, which has the first.",
    )


class BuiltinStructure(Strict):
    """A structure that comes with the service."""

    source: Literal["builtin"] = "builtin"
    name: str = Field(description="A name from `GET /structures/builtin`.", max_length=64, examples=["MOF-5"])


class InlineStructure(Strict):
    """A structure in the request itself."""

    source: Literal["inline"] = "inline"
    content: str = Field(description="Text of the file.", min_length=1, max_length=16 * 1024**2)
    format: Literal["cif", "xyz", "extxyz", "poscar"]
    name: StructureName | None = Field(None, description="Name of the structure in this task.")


StructureReference = Annotated[
    UploadedStructure | BuiltinStructure | InlineStructure, Field(discriminator="source")
]


class Callback(Strict):
    """Another spelling of the notify options."""

    url: Url
    events: list[Event] | None = None
    secret: Secret | None = None


class Options(Strict):
    """How a task is run, and who is told."""

    priority: PriorityName = Field(
        "NORMAL", description="Or its number: 0 CRITICAL, 1 HIGH, 2 NORMAL, 3 LOW."
    )
    timeout: int | None = Field(
        None, ge=1, description="Seconds of run time after which the task ends as TIMEOUT."
    )
    notify_url: Url | None = Field(None, description="Webhook address.")
    notify_events: list[Event] | None = Field(
        None, description=f"Events to be told of; unset: {', '.join(DEFAULT_EVENTS)}."
    )
    notify_secret: Secret | None = Field(
        None, description="Signs the webhooks; stored encrypted, never shown."
    )
    retry_times: int = Field(3, ge=0, le=10, description="Retries of a webhook that was not taken.")
    retry_interval_seconds: float = Field(
        10.0, ge=0.1, le=3600, description="Wait before the first retry of a webhook; doubles with each."
    )
    tags: list[Tag] = Field(default_factory=list, max_length=32, description="Labels to find tasks by.")
    require_convergence: bool = Field(
        False, description="An optimization that does not converge fails with 50006 instead of flagging it."
    )
    callback: Callback | None = Field(None, description="Another spelling of the notify options.")

    @field_validator("priority", mode="before")
    @classmethod
    def _priority_by_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and value in list(Priority):
            return Priority(value).name
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_spelling(self) -> Options:
        if self.callback is None:
            return self
        if self.notify_url is not None or self.notify_secret is not None or self.notify_events is not None:
            raise ValueError("give either `callback` or the `notify_…` fields, not both")
        self.notify_url = self.callback.url
        self.notify_events = self.callback.events
        self.notify_secret = self.callback.secret
        self.callback = None
        return self


class Submission(Strict):
    """A calculation asked for."""

    task_type: TaskType
    model: str = Field(description="A name from `GET /models`.", max_length=128, examples=["sevennet_prod"])
    structure: StructureReference
    parameters: Any
    options: Options = Field(default_factory=Options)


def _submission(task_type: TaskType) -> type[Submission]:
    parameters = CALCULATIONS[task_type][0]
    name = parameters.__name__.removesuffix("Parameters") + "Submission"
    fields: dict[str, Any] = {
        "task_type": (Literal[task_type], Field(task_type, description="Implied by the address.")),
        "parameters": (parameters, Field(default_factory=parameters)),
    }
    return create_model(name, __base__=Submission, __doc__=f"A `{task_type}` task.", **fields)


SUBMISSIONS: dict[TaskType, type[Submission]] = {kind: _submission(kind) for kind in CALCULATIONS}
"""The request body of each task type: a type joins by being in `CALCULATIONS`."""

AnySubmission: TypeAlias = Annotated[  # type: ignore[valid-type]
    Union[tuple(SUBMISSIONS.values())], Field(discriminator="task_type")  # noqa: UP007 - built at run time
]


class BatchSubmission(Strict):
    """Many tasks, accepted together or not at all."""

    tasks: list[AnySubmission] = Field(min_length=1, max_length=1000)
    options: Options = Field(default_factory=Options, description="Shared; a task's own options beat them.")


class Accepted(BaseModel):
    """A task was accepted."""

    task_id: str = Field(examples=["task_01kb3jz4zv8m1x2c7d9e5f6g7h"])
    status: TaskStatus = Field(examples=["QUEUED"])
    position: int | None = Field(description="Place in the queue, from 1.")
    estimated_wait_seconds: float | None = Field(description="Null while nothing like it has been measured.")


class BatchAccepted(BaseModel):
    """A batch was accepted as a whole."""

    batch_id: str
    tasks: list[Accepted]


class Progress(BaseModel):
    """How far a running task is."""

    stage: str | None = None
    current_step: int | None = None
    total_steps: int | None = None
    percentage: float | None = None
    values: dict[str, Any] = Field(
        default_factory=dict, description="Latest values, with units in their names."
    )


class Move(BaseModel):
    """One change of state."""

    status: TaskStatus
    at: Timestamp
    attempt: int
    gpu_id: int | None
    reason: str | None


class TaskFailure(BaseModel):
    """Why a task failed."""

    model_config = ConfigDict(extra="ignore")

    code: int
    type: str
    detail: str
    stage: str | None = None


class TaskSummary(BaseModel):
    """A task in a list."""

    task_id: str
    task_type: TaskType
    status: TaskStatus
    priority: PriorityName
    model: str
    structure_id: str
    structure_name: str
    batch_id: str | None
    tags: list[str]
    gpu_id: int | None
    attempt: int
    progress: Progress | None
    error: TaskFailure | None
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None = Field(description="When it ended, however it ended.")


class TaskView(TaskSummary):
    """A task with everything about it but its result and its log."""

    parameters: dict[str, Any]
    options: dict[str, Any] = Field(description="As given, without secrets.")
    n_atoms: int | None
    n_edges: int | None = Field(description="Edges of the model's graph of the largest cell.")
    memory_estimate_MB: float | None = Field(description="Expected peak memory; null when unknown.")
    retry_of: str | None
    request_id: str
    position: int | None = Field(description="Place in the queue, from 1, while queued.", examples=[None])
    estimated_wait_seconds: float | None = Field(examples=[None])
    cancel_requested: bool
    queued_at: Timestamp | None
    assigned_at: Timestamp | None
    duration_seconds: float | None
    placement: dict[str, Any] | None = Field(description="Why this GPU was chosen.")
    history: list[Move]
    links: dict[str, str] = Field(description="Related addresses; `prefect_ui` shows the flow run.")


class TaskResultView(BaseModel):
    """The result of an ended task (section 5.3 of the requirements)."""

    task_id: str
    task_type: TaskType
    status: TaskStatus
    model: str
    structure_name: str
    created_at: Timestamp
    started_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: float | None
    gpu_id: int | None
    result: dict[str, Any] | None = Field(
        description="The calculation's document; `output_files` maps roles to addresses. Null when it failed."
    )
    metrics: dict[str, Any] | None
    error: TaskFailure | None


class TaskFile(BaseModel):
    """A file of an ended task."""

    file_id: str = Field(examples=["file_01kb3jz4zv8m1x2c7d9e5f6g7h"])
    role: str = Field(description="What it is, as in a result's `output_files`.", examples=["trajectory"])
    path: str = Field(description="In the attempt's work folder.", examples=["opt/trajectory.traj"])
    media_type: str = Field(examples=["application/octet-stream"])
    size_bytes: int = Field(examples=[48_312])
    sha256: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    created_at: Timestamp
    url: str = Field(examples=["/api/v1/files/file_01kb3jz4zv8m1x2c7d9e5f6g7h"])


class BatchView(BaseModel):
    """A batch and where its tasks stand."""

    batch_id: str
    created_at: Timestamp
    n_tasks: int
    counts: dict[TaskStatus, int] = Field(description="Number of tasks in each state.")
    tasks: list[TaskSummary]


class LogLine(BaseModel):
    """A line of a task's log (section 6.3 of the requirements)."""

    id: int
    timestamp: Timestamp
    level: str
    logger: str
    message: str
    task_id: str
    attempt: int
    gpu_id: int | None
    extra: dict[str, Any]


class LogPage(BaseModel):
    """Lines, oldest first."""

    items: list[LogLine]
    next_cursor: str | None = Field(description="Pass as `cursor` for the lines after these.")


class TaskFilter(Paging):
    """Filters of the list of tasks."""

    status: TaskStatus | None = None
    task_type: TaskType | None = None
    model: str | None = Field(None, max_length=128)
    priority: PriorityName | None = None
    batch_id: str | None = Field(None, max_length=64)
    structure_id: str | None = Field(None, max_length=128)
    tag: str | None = Field(None, max_length=64)
    created_after: datetime | None = None
    created_before: datetime | None = None
    cursor: str | None = Field(
        None, max_length=64, description="`next_cursor` of the page before; beats `page`."
    )


class LogFilter(Strict):
    """Filters of a task's log."""

    level: Level = Field("DEBUG", description="Lines of this level and above.")
    limit: int = Field(100, ge=1, le=1000)
    since: datetime | None = Field(None, description="Lines from this time on.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")
