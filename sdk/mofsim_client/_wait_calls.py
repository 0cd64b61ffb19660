"""Waiting for several tasks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mofsim_client._bars import one_bar
from mofsim_client._base import ClientBase
from mofsim_client._display import Listing
from mofsim_client._documents import TaskInfo
from mofsim_client._effects import Flow, Item, Op, Sleep
from mofsim_client._exceptions import APIError, WaitTimeoutError
from mofsim_client._methods import call
from mofsim_client._protocol import OUTAGE_SECONDS, outlasting, parse, poll_interval
from mofsim_client._task_methods import task_stream
from mofsim_client._tasks import TaskBase


@dataclass(frozen=True)
class BatchProgress:
    """How far several tasks are together."""

    done: int
    total: int
    last: TaskInfo
    """The task that ended last."""


class WaitCalls(ClientBase):
    """Waiting for several tasks at once, a batch by one request."""

    @task_stream
    def as_completed(
        self, tasks: Iterable[TaskBase[Any]], *, timeout: float | None = None, progress: bool = False
    ) -> Flow[TaskBase[Any]]:
        """Iterate over tasks in the order in which they end, however they end.

        Parameters
        ----------
        timeout
            Longest wait, s.
        progress
            Draw one bar for all of them (needs the extra `cli`).

        Raises
        ------
        WaitTimeoutError
            If some have not ended after `timeout` seconds.
        """
        waiting = _Waiting(tasks, timeout)
        with one_bar(waiting.total, progress) as ended:
            while waiting.tasks:
                for task in (yield from self._some_ended(waiting)):
                    ended(task.info)
                    yield Item(task)

    @call
    def wait_all(
        self,
        tasks: Iterable[TaskBase[Any]],
        *,
        timeout: float | None = None,
        on_progress: Callable[[BatchProgress], None] | None = None,
        progress: bool = False,
        return_errors: bool = False,
    ) -> Op[list[Any]]:
        """Wait for all tasks and return their results in the order given.

        Parameters
        ----------
        timeout
            Longest wait, s.
        on_progress
            Called with a `BatchProgress` each time a task has ended.
        progress
            Draw one bar for all of them (needs the extra `cli`).
        return_errors
            Put the exception of a failed task in its place instead of raising the first.
        """
        wanted = list(tasks)
        waiting = _Waiting(wanted, timeout)
        outcomes: dict[int, Any] = {}
        with one_bar(waiting.total, progress) as ended:
            while waiting.tasks:
                for task in (yield from self._some_ended(waiting)):
                    try:
                        outcomes[id(task)] = yield from task._result_operation()
                    except APIError as error:
                        if not return_errors:
                            raise
                        outcomes[id(task)] = error
                    ended(task.info)
                    if on_progress is not None:
                        on_progress(BatchProgress(len(outcomes), len(wanted), task.info))
        return Listing(outcomes[id(task)] for task in wanted)

    def _some_ended(self, waiting: _Waiting) -> Op[list[TaskBase[Any]]]:
        """Wait until some of the tasks have ended, and take them out."""
        while True:
            if waiting.looked:
                yield Sleep(waiting.pause())
            yield from outlasting(partial(self._refresh_all, waiting.tasks), waiting.patient_until())
            if done := waiting.take_ended():
                return done

    def _refresh_all(self, tasks: Sequence[TaskBase[Any]]) -> Op[None]:
        """Refresh tasks that have not ended: a batch by one request, others one by one."""
        by_batch: dict[str | None, list[TaskBase[Any]]] = {}
        for task in tasks:
            if not task.status.ended:
                by_batch.setdefault(task.info.batch_id, []).append(task)
        for batch_id, members in by_batch.items():
            if batch_id is None or len(members) == 1:
                for task in members:
                    yield from task._refresh_operation()
                continue
            data = yield from self._ask("GET", f"/tasks/batches/{batch_id}")
            rows = {row["task_id"]: row for row in data["tasks"]}
            for task in members:
                task.info = parse(TaskInfo, rows[task.id])


class _Waiting:
    """The tasks still waited for, and how long yet."""

    def __init__(self, tasks: Iterable[TaskBase[Any]], timeout: float | None) -> None:
        self.tasks = list(tasks)
        self.total = len(self.tasks)
        self.looked = False
        self._timeout = timeout
        self._started = time.monotonic()
        self._answered_at = self._started - OUTAGE_SECONDS

    def patient_until(self) -> float:
        """Moment until which an absence of the server is waited out; a server never seen has none."""
        deadline = math.inf if self._timeout is None else self._started + self._timeout
        return min(self._answered_at + OUTAGE_SECONDS, deadline)

    def take_ended(self) -> list[TaskBase[Any]]:
        """The tasks that have ended, which are waited for no longer."""
        self.looked = True
        self._answered_at = time.monotonic()
        ended = [task for task in self.tasks if task.status.ended]
        self.tasks = [task for task in self.tasks if not task.status.ended]
        return ended

    def pause(self) -> float:
        """Seconds until the next look.

        Raises
        ------
        WaitTimeoutError
            If there is no time left.
        """
        elapsed = time.monotonic() - self._started
        left = math.inf if self._timeout is None else self._timeout - elapsed
        if left <= 0:
            raise WaitTimeoutError(f"{len(self.tasks)} tasks have not ended after {self._timeout:g} s.")
        return min(poll_interval(elapsed), left)
