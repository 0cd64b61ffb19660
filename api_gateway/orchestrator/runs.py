"""What the gateway knows of a Prefect flow run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.events import Event

from mof_benchmark.schemas import CalculationRequest

QUEUES = ("critical", "high", "normal", "low")
"""Work queue of each priority, in every pool."""


class RunState(StrEnum):
    """Prefect's state types."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"

    @property
    def terminal(self) -> bool:
        return self in (RunState.CANCELLED, RunState.COMPLETED, RunState.FAILED, RunState.CRASHED)


@dataclass(frozen=True, kw_only=True)
class AttemptKey:
    """Names an attempt; its text is the flow run's name and its idempotency key."""

    task_id: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.task_id}:{self.attempt}"

    @classmethod
    def parse(cls, name: str) -> AttemptKey | None:
        """The attempt a run of this name belongs to; None for a run that is not ours."""
        task_id, _, attempt = name.rpartition(":")
        if not task_id.startswith("task_") or not attempt.isdecimal():
            return None
        return cls(task_id=task_id, attempt=int(attempt))


@dataclass(frozen=True, kw_only=True)
class RunNews:
    """A state of the run of an attempt, from an event or from a poll."""

    key: AttemptKey
    flow_run_id: UUID
    state: RunState
    at: datetime
    message: str = ""

    @classmethod
    def from_event(cls, event: Event) -> RunNews | None:
        """None for an event that is no state of one of our runs."""
        resource = event.resource
        key = AttemptKey.parse(resource.get("prefect.resource.name") or "")
        state = resource.get("prefect.state-type")
        if key is None or state is None:
            return None
        return cls(
            key=key,
            flow_run_id=UUID(resource.id.removeprefix("prefect.flow-run.")),
            state=RunState(state),
            at=event.occurred,
            message=resource.get("prefect.state-message") or "",
        )

    @classmethod
    def from_run(cls, run: FlowRun) -> RunNews | None:
        key = AttemptKey.parse(run.name)
        if key is None or run.state is None:
            return None
        return cls(
            key=key,
            flow_run_id=run.id,
            state=RunState(run.state.type.value),
            at=run.state.timestamp,
            message=run.state.message or "",
        )


@dataclass(frozen=True, kw_only=True)
class MadeRun:
    """A flow run that Prefect has made, or had made before."""

    flow_run_id: UUID
    document: str
    """The run as Prefect described it, in JSON: whoever has this need not read it again."""


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """A flow run to be made: a calculation bound to a slot and an attempt."""

    request: CalculationRequest
    priority: int
    tags: tuple[str, ...] = ()
    """The client's own tags; ours are added."""

    @property
    def key(self) -> AttemptKey:
        return AttemptKey(task_id=self.request.task_id, attempt=self.request.attempt)

    @property
    def deployment(self) -> str:
        return f"{self.request.task_type.value}/gpu-{self.request.gpu_id}"

    @property
    def queue(self) -> str:
        return QUEUES[self.priority]

    @property
    def all_tags(self) -> list[str]:
        """Tags by which an operator finds the run in Prefect's UI."""
        request = self.request
        ours = (
            f"task:{request.task_id}",
            f"model:{request.model}",
            f"priority:{self.queue}",
            f"request:{request.request_id}",
        )
        return [*ours, *(tag for tag in self.tags if tag not in ours)]
