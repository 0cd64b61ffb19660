"""Tasks as objects, for blocking and for asynchronous use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

import httpx

from mofsim_client._base import ClientBase
from mofsim_client._channels import run, run_async
from mofsim_client._documents import (
    Event,
    LogLine,
    Progress,
    TaskFile,
    TaskInfo,
    TaskStatus,
    WebhookDelivery,
)
from mofsim_client._effects import Flow, Item, Op, Request, Sleep
from mofsim_client._events import EventFeed
from mofsim_client._exceptions import WaitTimeoutError
from mofsim_client._files import download, inside
from mofsim_client._methods import Asynchronous, Blocking, call, stream
from mofsim_client._outcomes import read_result, task_error
from mofsim_client._protocol import (
    OUTAGE_SECONDS,
    ask,
    items_of,
    next_cursor,
    outlasting,
    parse,
    poll_interval,
)
from mofsim_client.results import Result

if TYPE_CHECKING:
    from mofsim_client._client import AsyncMOFSimClient, MOFSimClient

P = ParamSpec("P")
R = TypeVar("R", bound=Result)
OnProgress = Callable[[TaskInfo], None]
"""Called with the task's state each time it changed."""


class TaskBase(Generic[R]):
    """What tasks of both kinds know and do; `info` is what the server last told."""

    def __init__(self, client: ClientBase, info: TaskInfo, result_type: type[R] | None = None) -> None:
        self._client = client
        self._result_type = result_type
        self._result: R | None = None
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status}>"

    def _repr_html_(self) -> str:
        return self.info._repr_html_()

    def _row(self) -> dict[str, Any]:
        return self.info._row()

    @property
    def id(self) -> str:
        """`task_…`"""
        return self.info.task_id

    @property
    def status(self) -> TaskStatus:
        """State when last asked; `refresh()` asks again."""
        return self.info.status

    @property
    def progress(self) -> Progress | None:
        """Progress when last asked."""
        return self.info.progress

    @property
    def _path(self) -> str:
        return f"/tasks/{self.id}"

    def _ask(self, method: str, path: str = "", **more: Any) -> Op[Any]:
        return ask(self._client.connection, Request(method, self._path + path, **more))

    @call
    def refresh(self) -> Op[TaskInfo]:
        """Ask the server for the task's present state."""
        return (yield from self._refresh_operation())

    def _refresh_operation(self) -> Op[TaskInfo]:
        self.info = parse(TaskInfo, (yield from self._ask("GET")))
        return self.info

    @call
    def wait(self, timeout: float | None = None, on_progress: OnProgress | None = None) -> Op[R]:
        """Wait until the task has ended and return its result.

        Parameters
        ----------
        timeout
            Longest wait, s; None waits for ever. The task goes on when it passes.
        on_progress
            Called with the task's `TaskInfo` each time its state or progress has changed.

        Raises
        ------
        WaitTimeoutError
            If `timeout` passed first.
        ConnectionFailedError
            If no server answers; one that did and went away is waited for, up to three minutes.
        TaskError
            If the task failed, was cancelled or timed out: the class of its own error.
        """
        return (yield from self._wait_operation(timeout, on_progress))

    def _wait_operation(self, timeout: float | None, on_progress: OnProgress | None) -> Op[R]:
        started = time.monotonic()
        deadline = math.inf if timeout is None else started + timeout
        patient_until = started
        before: TaskInfo | None = None
        while True:
            yield from outlasting(self._refresh_operation, min(patient_until, deadline))
            patient_until = time.monotonic() + OUTAGE_SECONDS
            if on_progress is not None and self.info != before:
                on_progress(self.info)
            before = self.info
            if self.status.ended:
                return (yield from self._result_operation())
            elapsed = time.monotonic() - started
            if timeout is not None and elapsed >= timeout:
                raise WaitTimeoutError(f"{self.id} is still {self.status} after {timeout:g} s.")
            pause = poll_interval(elapsed)
            yield Sleep(pause if timeout is None else min(pause, timeout - elapsed))

    def _result_operation(self) -> Op[R]:
        """The result of a task known to have ended."""
        if self._result is None:
            if self.status is not TaskStatus.COMPLETED:
                raise task_error(self.info)
            data = yield from self._ask("GET", "/result")
            self._result = read_result(self._client.connection, data, self._result_type)
        return self._result

    @call
    def cancel(self) -> Op[TaskInfo]:
        """Ask for the task to be stopped: at once while queued, at the next step when running."""
        data = yield from self._ask("POST", "/cancel")
        self.info = self.info.model_copy(update=partial_info(data))
        return self.info

    @call
    def save(self, directory: str | Path) -> Op[list[Path]]:
        """Write `result.json` and every output file of an ended task into a folder."""
        yield from self._refresh_operation()
        result: R = yield from self._result_operation()
        paths = [result.save_document(directory)]
        for address in result.output_files.values():
            paths.append((yield from download(self._client.connection, address, Path(directory))))
        return paths

    @call
    def files(self) -> Op[list[TaskFile]]:
        """The files of an ended task; of one that did not complete, whatever it had written by then.

        What a killed calculation was writing may end in the middle.

        Raises
        ------
        NotFinishedError
            If the task has not ended.
        ResultExpiredError
            If they have been cleared away.
        """
        return (yield from self._files_operation())

    def _files_operation(self) -> Op[list[TaskFile]]:
        return (yield from self._client._whole(f"{self._path}/files", TaskFile))

    @call
    def download_files(self, directory: str | Path) -> Op[list[Path]]:
        """Download all `files()` into a folder, each by its path in the task's work folder."""
        paths = []
        for file in (yield from self._files_operation()):
            target = inside(Path(directory), file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            paths.append((yield from download(self._client.connection, file.file_id, target)))
        return paths

    @call
    def webhooks(self) -> Op[list[WebhookDelivery]]:
        """Every webhook message of the task with its attempts."""
        return (yield from self._client._whole(f"{self._path}/webhooks", WebhookDelivery))

    @stream
    def stream_events(self, last_event_id: str = "") -> Flow[Event]:
        """Everything that happens to the task, to its end; reconnects without loss or repeats.

        Parameters
        ----------
        last_event_id
            Continue after this event (`Event.id`) of an earlier stream.
        """
        return self._events_flow(last_event_id)

    def _events_flow(self, last_event_id: str) -> Flow[Event]:
        feed = EventFeed(self._client.connection, f"{self._path}/events", last_event_id)
        while (event := (yield from feed.next())) is not None:
            yield Item(event)

    @stream
    def stream_logs(self, level: str = "DEBUG") -> Flow[LogLine]:
        """Log lines of this level and above, from the first to the task's end, as they are written."""
        return self._logs_flow(level)

    def _logs_flow(self, level: str) -> Flow[LogLine]:
        feed = EventFeed(self._client.connection, f"{self._path}/logs/stream", query={"level": level})
        while (event := (yield from feed.next())) is not None:
            if event.type == "log":
                yield Item(parse(LogLine, event.data))

    @stream
    def logs(self, level: str | None = None, since: str | None = None) -> Flow[LogLine]:
        """Log lines written so far, oldest first.

        Parameters
        ----------
        level
            Lowest level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        since
            Only lines after this time (ISO 8601).
        """
        query: dict[str, str | int] = {"limit": 1000}
        query |= {name: value for name, value in (("level", level), ("since", since)) if value}
        cursor: str | None = ""
        while cursor is not None:
            data = yield from self._ask("GET", "/logs", query=query | ({"cursor": cursor} if cursor else {}))
            lines = items_of(data)
            for line in lines:
                yield Item(parse(LogLine, line))
            # The log of a running task always has a next page: an empty one is the present end.
            cursor = next_cursor(data) if lines else None

    def _retry_operation(self) -> Op[TaskInfo]:
        data = yield from self._ask("POST", "/retry", repeatable=False)
        return parse(TaskInfo, {**self.info.to_dict(), "progress": None, "error": None, **data})


class Task(TaskBase[R], Blocking):
    """A task of a `MOFSimClient`: `wait()` blocks, `await task.result()` waits asynchronously.

    `stream_logs()` and `stream_events()` serve `for` and `async for` alike. Inside an event loop
    use the awaited forms only, as the others would hold up the loop.
    """

    _client: MOFSimClient

    @property
    def _blocking_http(self) -> httpx.Client:
        return self._client._blocking_http

    def _new_async_http(self) -> httpx.AsyncClient:
        return self._client._new_async_http()

    async def result(self, on_progress: OnProgress | None = None) -> R:
        """`wait()` for asynchronous code: awaits the end and returns the result."""
        async with self._new_async_http() as http:
            return await run_async(self._wait_operation(None, on_progress), http)

    def retry(self) -> Self:
        """Submit the same request as a new task."""
        return type(self)(self._client, run(self._retry_operation(), self._blocking_http), self._result_type)


class AsyncTask(TaskBase[R], Asynchronous):
    """A task of an `AsyncMOFSimClient`; awaiting it awaits its result."""

    _client: AsyncMOFSimClient

    @property
    def _async_http(self) -> httpx.AsyncClient:
        return self._client._async_http

    async def result(self, on_progress: OnProgress | None = None) -> R:
        """Another name of `wait`."""
        return await run_async(self._wait_operation(None, on_progress), self._async_http)

    async def retry(self) -> Self:
        """Submit the same request as a new task."""
        info = await run_async(self._retry_operation(), self._async_http)
        return type(self)(self._client, info, self._result_type)

    def __await__(self) -> Generator[Any, Any, R]:
        return self.result().__await__()


def partial_info(data: Any) -> dict[str, Any]:
    """The validated fields of an answer that tells only some of a task's state."""
    info = parse(TaskInfo, data)
    return {name: getattr(info, name) for name in info.model_fields_set}
