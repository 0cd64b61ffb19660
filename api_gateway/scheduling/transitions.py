"""The one place that moves a bound task: what a state of its Prefect run means for it.

The table at the end of docs/interfaces.md, as code. Every function works in the caller's
transaction, locks the task first, and does nothing for an attempt that is no longer the task's own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database.models import (
    AttemptOutcome,
    StopReason,
    Task,
    TaskAttempt,
    TaskResult,
    TaskStatus,
)
from api_gateway.errors import TaskTimedOutError, WorkerLostError
from api_gateway.orchestrator import AttemptKey, RunNews, RunState
from api_gateway.scheduling.memory import GROWTH_AFTER_OUT_OF_MEMORY
from api_gateway.scheduling.service import request_stop
from mof_benchmark.errors import CalculationFailedError, MofsimError, OutOfMemoryError, StoppedError
from mofsim_settings import SchedulingSettings

log = structlog.get_logger("gateway.scheduling")

Error = dict[str, Any]

MOST_ATTEMPTS = 50
"""Bounds interruptions that are no setbacks: a task that takes the pool worker along must end some time."""

_SELF_ENDED = frozenset({AttemptOutcome.COMPLETED, AttemptOutcome.FAILED})
"""Outcomes that the flow itself came to: nothing computes any more."""


def error_document(error: MofsimError, *, stage: str | None = None) -> Error:
    """`{code, type, detail, stage}`, as tasks store it."""
    return {"code": error.code, "type": type(error).__name__, "detail": error.detail, "stage": stage}


async def apply_news(session: AsyncSession, news: RunNews, settings: SchedulingSettings) -> bool:
    """Move the task as the run's state asks; true when something was written.

    Late, repeated and out-of-order news are harmless.
    """
    task = await _lock(session, news.key)
    if task is None:
        return False
    if news.state.terminal:
        # Also for an attempt that was given up long ago: its pool is free only now.
        await session.execute(
            update(TaskAttempt)
            .where(*_is(news.key), TaskAttempt.run_ended_at.is_(None))
            .values(run_ended_at=func.clock_timestamp())
            .execution_options(synchronize_session=False)
        )
    attempt = await _present_attempt(session, task, news.key)
    if attempt is None:
        return False
    match news.state:
        case RunState.SCHEDULED | RunState.PENDING | RunState.PAUSED:
            return False
        case RunState.RUNNING:
            return await _started(session, task, attempt, news.at)
        case RunState.CANCELLING:
            # Asked for in Prefect's UI: the stage learns of it by its next report.
            await request_stop(session, task, StopReason.CANCEL)
            attempt.stop_sent_at = attempt.stop_sent_at or news.at
        case RunState.COMPLETED:
            await _started(session, task, attempt, news.at)
            await _completed(session, task, attempt)
        case RunState.FAILED:
            _failed(task, attempt, news.message, settings)
        case RunState.CRASHED:
            lose(task, attempt, news.message or "the run crashed", settings)
        case RunState.CANCELLED:
            stop(task, attempt)
    await session.flush()
    return True


async def lock_bound(session: AsyncSession, key: AttemptKey) -> tuple[Task, TaskAttempt] | None:
    """The task and its attempt, locked; None when `key` is not a bound task's present attempt."""
    task = await _lock(session, key)
    attempt = None if task is None else await _present_attempt(session, task, key)
    return None if task is None or attempt is None else (task, attempt)


def lose(
    task: Task, attempt: TaskAttempt, why: str, settings: SchedulingSettings, *, with_its_host: bool = False
) -> None:
    """Give up an attempt whose worker, host or run is gone: queue the task again, or end it.

    Parameters
    ----------
    with_its_host
        Whether the task's own host is what was lost, for which the task may be to blame. What
        serves all tasks (a pool worker that was stopped or died) is no setback for any.
    """
    if task.stop_requested_at is not None:
        stop(task, attempt)
        return
    setback = with_its_host and began(attempt)
    if (setback and task.setbacks + 1 >= settings.max_attempts) or _interrupted_too_often(attempt):
        _end_attempt(task, attempt, AttemptOutcome.LOST)
        detail = f"the worker was lost in attempt {attempt.attempt}; last: {why}"
        _end(task, TaskStatus.FAILED, "lost too often", error_document(WorkerLostError(detail)))
        return
    _queue_again(task, attempt, AttemptOutcome.LOST, why, setback=setback)


def began(attempt: TaskAttempt) -> bool:
    """Whether the flow was ever alive; its heartbeat tells even when Prefect's event was missed."""
    return attempt.started_at is not None or attempt.flow_heartbeat_at is not None


def _interrupted_too_often(attempt: TaskAttempt) -> bool:
    return began(attempt) and attempt.attempt >= MOST_ATTEMPTS


def unbind(task: Task, attempt: TaskAttempt, why: str) -> None:
    """Queue a task again that waits at a GPU without having begun: no setback for it."""
    _queue_again(task, attempt, AttemptOutcome.LOST, why, setback=False)


def refuse(task: Task, attempt: TaskAttempt, why: str) -> None:
    """End a task whose run Prefect will not make."""
    _end_attempt(task, attempt, AttemptOutcome.FAILED)
    _end(task, TaskStatus.FAILED, "refused", error_document(CalculationFailedError(why)))


async def _started(session: AsyncSession, task: Task, attempt: TaskAttempt, at: datetime) -> bool:
    if task.status is TaskStatus.RUNNING:
        return False
    attempt.started_at = at
    task.started_at = task.started_at or at
    task.status = TaskStatus.RUNNING
    task.status_reason = f"attempt {attempt.attempt} started on GPU {attempt.gpu_id}"
    # A move of its own, also when the end follows in the same transaction.
    await session.flush()
    return True


async def _completed(session: AsyncSession, task: Task, attempt: TaskAttempt) -> None:
    _end_attempt(task, attempt, AttemptOutcome.COMPLETED)
    stored = await session.scalar(
        select(TaskResult.attempt).where(TaskResult.task_id == task.id, TaskResult.attempt == task.attempt)
    )
    if stored is None:
        error = CalculationFailedError("the flow ended without a result")
        _end(task, TaskStatus.FAILED, "no result", error_document(error))
    else:
        _end(task, TaskStatus.COMPLETED, "result stored", None)


def _failed(task: Task, attempt: TaskAttempt, message: str, settings: SchedulingSettings) -> None:
    if task.stop_requested_at is not None:
        stop(task, attempt)
        return
    error = attempt.error or error_document(CalculationFailedError(message or "the flow failed"))
    if error.get("code") == OutOfMemoryError.code and not task.out_of_memory:
        task.out_of_memory = True
        if task.memory_estimate_MB is not None:
            task.memory_estimate_MB *= GROWTH_AFTER_OUT_OF_MEMORY
        why = f"{error.get('detail')}; once more on an emptied GPU"
        _queue_again(task, attempt, AttemptOutcome.FAILED, why, setback=False)
        return
    interrupted = bool(error.get("interrupted"))
    left = not _interrupted_too_often(attempt) if interrupted else task.setbacks + 1 < settings.max_attempts
    if error.get("transient") and left:
        why = f"{error.get('type')}: {error.get('detail')}"
        _queue_again(task, attempt, AttemptOutcome.FAILED, why, setback=not interrupted)
        task.not_before = func.clock_timestamp() + timedelta(seconds=settings.retry_wait_seconds)
        return
    _end_attempt(task, attempt, AttemptOutcome.FAILED)
    shown = {key: value for key, value in error.items() if key not in ("transient", "interrupted")}
    _end(task, TaskStatus.FAILED, str(error.get("detail", ""))[:500], shown)


def stop(task: Task, attempt: TaskAttempt) -> None:
    """The end that was asked for; a run cancelled in Prefect's UI before it began asked by that."""
    if task.stop_reason is StopReason.TIMEOUT:
        _end_attempt(task, attempt, AttemptOutcome.TIMEOUT)
        error = TaskTimedOutError(f"longer than {task.timeout_seconds} s")
        _end(task, TaskStatus.TIMEOUT, "its time was up", error_document(error))
    else:
        _end_attempt(task, attempt, AttemptOutcome.CANCELLED)
        _end(task, TaskStatus.CANCELLED, "stopped on request", error_document(StoppedError()))


def _queue_again(
    task: Task, attempt: TaskAttempt, outcome: AttemptOutcome, why: str, *, setback: bool
) -> None:
    _end_attempt(task, attempt, outcome)
    task.status = TaskStatus.QUEUED
    task.status_reason = f"attempt {attempt.attempt} on GPU {attempt.gpu_id}: {why}"[:500]
    task.attempt += 1
    task.setbacks += int(setback)
    task.gpu_id = None
    log.warning("task queued again", task_id=task.id, attempt=attempt.attempt, gpu_id=attempt.gpu_id, why=why)


def _end_attempt(task: Task, attempt: TaskAttempt, outcome: AttemptOutcome) -> None:
    # The database's clock alone: started_at is Prefect's, and the two may be different machines.
    attempt.ended_at = func.clock_timestamp()
    attempt.outcome = outcome
    if outcome in _SELF_ENDED or (not began(attempt) and attempt.host_heartbeat_at is None):
        attempt.released_at = func.clock_timestamp()
    if attempt.started_at is not None:
        task.spent_seconds = Task.spent_seconds + func.greatest(
            func.extract("epoch", func.clock_timestamp() - attempt.started_at), 0.0
        )


def _end(task: Task, status: TaskStatus, reason: str, error: Error | None) -> None:
    task.status = status
    task.status_reason = reason
    task.error = error


async def _lock(session: AsyncSession, key: AttemptKey) -> Task | None:
    # The task before its attempts, as in the database's own functions: no deadlock.
    return await session.scalar(
        select(Task)
        .where(Task.id == key.task_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def _present_attempt(session: AsyncSession, task: Task, key: AttemptKey) -> TaskAttempt | None:
    if task.attempt != key.attempt or not task.status.bound:
        return None
    return await session.scalar(
        select(TaskAttempt).where(*_is(key)).with_for_update().execution_options(populate_existing=True)
    )


def _is(key: AttemptKey) -> tuple[Any, ...]:
    return TaskAttempt.task_id == key.task_id, TaskAttempt.attempt == key.attempt
