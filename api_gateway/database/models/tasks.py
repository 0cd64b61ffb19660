"""Tasks, their attempts, what happened to them and what they left."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Sequence,
    SmallInteger,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from api_gateway.database.models.base import Base, CreatedAt, Identifier, Json, text_enum
from mof_benchmark.schemas import TaskType


class TaskStatus(StrEnum):
    """States of a task; the database refuses any move that the contract does not name."""

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
        return self in ENDED

    @property
    def bound(self) -> bool:
        """Whether an attempt of the task holds, or waits at, a GPU."""
        return self in (TaskStatus.ASSIGNED, TaskStatus.RUNNING)


ENDED = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.TIMEOUT})


class Priority(IntEnum):
    """Lower goes first."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


class StopReason(StrEnum):
    """Why a running attempt was asked to stop; it decides between CANCELLED and TIMEOUT."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    LOST = "lost"


task_event_seq = Sequence("task_event_seq", data_type=BigInteger, metadata=Base.metadata)
"""Numbers log lines, status moves and progress alike. Drawn while the task's row is locked, so
that within a task a higher number is never visible before a lower one: a stream that resumes
after `Last-Event-ID` neither loses nor repeats."""


class Batch(Base):
    """Tasks that were submitted in one call."""

    __tablename__ = "batches"

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    n_tasks: Mapped[int]
    options: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    api_key_id: Mapped[Identifier | None] = mapped_column(ForeignKey("api_keys.id"))
    request_id: Mapped[str]
    created_at: Mapped[CreatedAt]


class Task(Base):
    """A calculation asked for, from its submission to its end."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint("priority BETWEEN 0 AND 3", name="priority"),
        CheckConstraint("attempt >= 1", name="attempt"),
        CheckConstraint("(stop_requested_at IS NULL) = (stop_reason IS NULL)", name="stop"),
        Index("ix_tasks_queue", "priority", "place", postgresql_where=text("status = 'QUEUED'")),
        Index("ix_tasks_bound", "gpu_id", postgresql_where=text("status IN ('ASSIGNED', 'RUNNING')")),
        Index("ix_tasks_status_place", "status", "place"),
        Index("ix_tasks_completed", "ended_at", postgresql_where=text("status = 'COMPLETED'")),
        Index("ix_tasks_type_place", "task_type", "place"),
        Index("ix_tasks_model_place", "model", "place"),
        Index("ix_tasks_model_ended_at", "model", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index("ix_tasks_structure_place", "structure_id", "place"),
        Index("ix_tasks_created_at", "created_at"),
        Index("ix_tasks_batch_place", "batch_id", "place", postgresql_where=text("batch_id IS NOT NULL")),
        Index("ix_tasks_tags", "tags", postgresql_using="gin"),
    )

    id: Mapped[Identifier] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(BigInteger, Identity(always=True), unique=True)
    """Place in the queue among equals, and the keyset of every list: order of submission. It
    never changes, so a task that is queued again stands where it stood."""
    task_type: Mapped[TaskType] = mapped_column(text_enum(TaskType, "task_type"))
    model: Mapped[str]
    structure_id: Mapped[str]
    structure: Mapped[Json]
    """`mof_benchmark.schemas.StructureInput`."""
    n_atoms: Mapped[int | None]
    n_edges: Mapped[int | None] = mapped_column(BigInteger)
    """Edges of the model's graph of the largest cell that is evaluated."""
    size_class: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Tasks of one class are alike in size: the binary logarithm of `n_edges`, 0 when unknown."""
    parameters: Mapped[Json]
    options: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    """Options as they were given, without secrets, for showing and for a retry."""
    require_convergence: Mapped[bool] = mapped_column(server_default=text("false"))
    priority: Mapped[int] = mapped_column(SmallInteger)
    timeout_seconds: Mapped[int]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    memory_estimate_MB: Mapped[float | None]
    out_of_memory: Mapped[bool] = mapped_column(server_default=text("false"))
    """It ran out of memory once: its last try has an emptied GPU to itself."""
    batch_id: Mapped[Identifier | None] = mapped_column(ForeignKey("batches.id"))
    retry_of: Mapped[Identifier | None]
    api_key_id: Mapped[Identifier | None] = mapped_column(ForeignKey("api_keys.id"))
    request_id: Mapped[str]

    status: Mapped[TaskStatus] = mapped_column(text_enum(TaskStatus, "status"))
    status_reason: Mapped[str | None]
    """Why the last move was made; copied into the history."""
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    """Number of the present attempt, or of the next one while queued: what fences the older."""
    gpu_id: Mapped[int | None]
    not_before: Mapped[datetime | None]
    """A transient failure waits until then before it is tried again."""
    spent_seconds: Mapped[float] = mapped_column(server_default=text("0"))
    """Run time of earlier attempts: the timeout counts all of them."""
    setbacks: Mapped[int] = mapped_column(server_default=text("0"))
    """Attempts that began and lost their host or failed transiently; `max_attempts` bounds them."""
    stop_requested_at: Mapped[datetime | None]
    stop_reason: Mapped[StopReason | None] = mapped_column(text_enum(StopReason, "stop_reason"))
    progress: Mapped[Json | None]
    """`{stage, current_step, total_steps, percentage, values}`."""
    progress_event: Mapped[int | None] = mapped_column(BigInteger)
    """Number (of `task_event_seq`) of the last progress."""
    error: Mapped[Json | None]
    """`{code, type, detail, stage}` of a failed task."""

    notify_url: Mapped[str | None]
    notify_events: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    notify_secret_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary)
    notify_retry_times: Mapped[int] = mapped_column(server_default=text("3"))
    notify_retry_interval_seconds: Mapped[float] = mapped_column(server_default=text("10"))
    notified_percentage: Mapped[float | None]
    notified_at: Mapped[datetime | None]

    created_at: Mapped[CreatedAt]
    queued_at: Mapped[datetime | None]
    assigned_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    """Start of the first attempt that ran."""
    ended_at: Mapped[datetime | None]


class TaskAttempt(Base):
    """One try of a task on one GPU."""

    __tablename__ = "task_attempts"
    __table_args__ = (
        Index("ix_task_attempts_gpu_id_released_at", "gpu_id", "released_at"),
        Index("ix_task_attempts_unreleased", "gpu_id", postgresql_where=text("released_at IS NULL")),
        Index(
            "ix_task_attempts_run_open",
            "task_id",
            postgresql_where=text("run_ended_at IS NULL AND ended_at IS NOT NULL"),
        ),
        Index(
            "ix_task_attempts_flow_run_id",
            "flow_run_id",
            unique=True,
            postgresql_where=text("flow_run_id IS NOT NULL"),
        ),
    )

    task_id: Mapped[Identifier] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    gpu_id: Mapped[int]
    reasons: Mapped[Json] = mapped_column(server_default=text("'{}'"))
    """Why this GPU, as the placement saw it."""
    bound_ahead: Mapped[bool] = mapped_column(server_default=text("false"))
    flow_run_id: Mapped[UUID | None]
    """Null between the commit of the placement and Prefect's answer; replayed after a crash."""
    worker: Mapped[str | None]
    """The pool worker that claimed it, `host:pid:boot`."""
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[AttemptOutcome | None] = mapped_column(text_enum(AttemptOutcome, "outcome"))
    flow_heartbeat_at: Mapped[datetime | None]
    host_heartbeat_at: Mapped[datetime | None]
    stop_sent_at: Mapped[datetime | None]
    """When Prefect took the request to stop."""
    run_ended_at: Mapped[datetime | None]
    """When Prefect's run was seen in a terminal state: until then it blocks its pool."""
    released_at: Mapped[datetime | None]
    """When the GPU was known to be free of it: at once for an attempt that ended by itself; for one
    that was stopped or lost, when the host no longer names it in its reports."""
    error: Mapped[Json | None]
    """`{code, type, detail, stage, transient}`."""


class TaskHistory(Base):
    """Every move of every task, written by the trigger."""

    __tablename__ = "task_history"
    __table_args__ = (Index("ix_task_history_task_id_id", "task_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, server_default=task_event_seq.next_value(), primary_key=True)
    task_id: Mapped[Identifier] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    at: Mapped[CreatedAt]
    from_status: Mapped[TaskStatus | None] = mapped_column(text_enum(TaskStatus, "from_status"))
    to_status: Mapped[TaskStatus] = mapped_column(text_enum(TaskStatus, "to_status"))
    attempt: Mapped[int]
    gpu_id: Mapped[int | None]
    reason: Mapped[str | None]


class TaskResult(Base):
    """The result document of a task."""

    __tablename__ = "task_results"
    __table_args__ = (Index("ix_task_results_kept_from", "kept_from"),)

    task_id: Mapped[Identifier] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int]
    result: Mapped[Json]
    created_at: Mapped[CreatedAt]
    kept_from: Mapped[CreatedAt]
    """The time it is kept counts from here: its creation, or its last use."""


class TaskLog(Base):
    """A line of a task's log; kept as long as the task."""

    __tablename__ = "task_logs"
    __table_args__ = (Index("ix_task_logs_task_id_id", "task_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, server_default=task_event_seq.next_value(), primary_key=True)
    task_id: Mapped[Identifier] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    attempt: Mapped[int]
    timestamp: Mapped[CreatedAt]
    level: Mapped[str]
    logger: Mapped[str]
    message: Mapped[str]
    gpu_id: Mapped[int | None]
    extra: Mapped[Json] = mapped_column(server_default=text("'{}'"))


class TaskDuration(Base):
    """Measured run times of like tasks, from which waits are estimated; kept by the reconciler."""

    __tablename__ = "task_durations"

    task_type: Mapped[TaskType] = mapped_column(text_enum(TaskType, "task_type"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    size_class: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"), primary_key=True)
    median_seconds: Mapped[float]
    samples: Mapped[int]
    updated_at: Mapped[CreatedAt]


class DeviceKind(StrEnum):
    """Where a peak of memory was measured."""

    CPU = "cpu"
    CUDA = "cuda"


class MemoryCalibration(Base):
    """What finished tasks say of the memory of their like; kept by the reconciler."""

    __tablename__ = "memory_calibrations"

    task_type: Mapped[TaskType] = mapped_column(text_enum(TaskType, "task_type"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[DeviceKind] = mapped_column(text_enum(DeviceKind, "device"), primary_key=True)
    base_MB: Mapped[float]
    kB_per_edge: Mapped[float]
    samples: Mapped[int]
    updated_at: Mapped[CreatedAt]
