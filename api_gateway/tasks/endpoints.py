"""`/tasks`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from starlette.responses import Response, StreamingResponse

from api_gateway.auth.credentials import Scope
from api_gateway.envelope import CursorPage, Envelope, Page, ok
from api_gateway.paging import Paging
from api_gateway.routing import By, GuardedRoute, Using, event_stream, operation
from api_gateway.services import Services
from api_gateway.structures.schemas import Deleted
from api_gateway.tasks import examples, streams
from api_gateway.tasks.schemas import (
    SUBMISSIONS,
    Accepted,
    BatchAccepted,
    BatchSubmission,
    BatchView,
    Level,
    LogFilter,
    LogPage,
    Submission,
    TaskFile,
    TaskFilter,
    TaskResultView,
    TaskSummary,
    TaskView,
)
from api_gateway.tasks.service import TaskService
from api_gateway.tasks.submission import SubmissionService
from mof_benchmark.schemas import TaskType

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=GuardedRoute)

TaskId = Annotated[str, Path(max_length=64, description="`task_…`")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="The same key with the same body within 24 hours is one submission.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(max_length=64, description="Number of the last event seen; the stream goes on after it."),
]
_SUBMISSION_CODES = (
    *(10004, 30001, 30002, 30012, 30014, 30016, 30017),
    *(40001, 40002, 40003, 40004, 40005, 40006, 40008, 40010),
)
_EVENT_STREAM = event_stream("log", "status", "progress", "end")
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `log`, `status`, `progress` and, at last, `end`; each with an `id`.",
        "content": _EVENT_STREAM,
    }
}
_LOGS: dict[int | str, dict[str, Any]] = {200: {"content": _EVENT_STREAM}}
_FOLLOW = operation(Scope.READ, 30003, 40002, answers=_STREAM) | {"response_class": StreamingResponse}


def _add_submission(task_type: TaskType, submission: type[Submission]) -> None:
    async def submit(
        using: Using,
        by: By,
        body: Submission,
        idempotency_key: IdempotencyKey = None,
    ) -> Envelope[Accepted]:
        return ok(await SubmissionService(using, by).one(body, idempotency_key), 202)

    submit.__annotations__["body"] = examples.with_example(task_type, submission)
    router.add_api_route(
        f"/{task_type}",
        submit,
        methods=["POST"],
        status_code=202,
        name=f"submit_{task_type.replace('-', '_')}",
        summary=f"Submit {task_type}",
        description=f"Queue a task of type `{task_type}`. Follow it by its id.",
        **operation(Scope.WRITE, *_SUBMISSION_CODES),
    )


for _task_type, _submission in SUBMISSIONS.items():
    _add_submission(_task_type, _submission)


@router.post("/batch", status_code=202, **operation(Scope.WRITE, *_SUBMISSION_CODES))
async def submit_batch(
    using: Using, by: By, body: BatchSubmission, idempotency_key: IdempotencyKey = None
) -> Envelope[BatchAccepted]:
    """Queue up to 1,000 tasks, all or none; when some are wrong, `error.errors` says which and why."""
    return ok(await SubmissionService(using, by).batch(body, idempotency_key), 202)


@router.get("/batches/{batch_id}", **operation(Scope.READ, 30003))
async def get_batch(
    using: Using, batch_id: Annotated[str, Path(max_length=64, description="`batch_…`")]
) -> Envelope[BatchView]:
    """Show a batch: how many tasks are in each state, and the tasks."""
    return ok(await TaskService(using).batch(batch_id))


@router.get("", **operation(Scope.READ, 40002))
async def list_tasks(
    using: Using, wanted: Annotated[TaskFilter, Query()]
) -> Envelope[CursorPage[TaskSummary]]:
    """List tasks, newest first. `cursor` reaches any depth at the cost of the first page."""
    return ok(await TaskService(using).page(wanted))


@router.get("/{task_id}", **operation(Scope.READ, 30003))
async def get_task(using: Using, task_id: TaskId) -> Envelope[TaskView]:
    """Show a task: state, progress, place in the queue, history, error, links."""
    return ok(await TaskService(using).get(task_id))


@router.get("/{task_id}/result", **operation(Scope.READ, 30003, 30018, 50003))
async def get_result(using: Using, task_id: TaskId) -> Envelope[TaskResultView]:
    """Show the result of an ended task; `result` is null when it did not complete, `error` says why."""
    return ok(await TaskService(using).result(task_id))


@router.get("/{task_id}/files", **operation(Scope.READ, 30003, 30018, 40002, 50003))
async def list_files(
    using: Using, task_id: TaskId, wanted: Annotated[Paging, Query()]
) -> Envelope[Page[TaskFile]]:
    """List the files of an ended task; of one that did not complete, whatever it had written by then.

    What a killed calculation was writing may end in the middle.
    """
    return ok(wanted.cut(await TaskService(using).files(task_id)))


@router.post("/{task_id}/cancel", status_code=202, **operation(Scope.WRITE, 30003, 50004))
async def cancel_task(using: Using, by: By, task_id: TaskId) -> Envelope[TaskView]:
    """Cancel a task: at once while it waits, at its next step boundary while it runs."""
    return ok(await TaskService(using).cancel(task_id, by), 202)


@router.post(
    "/{task_id}/retry",
    status_code=202,
    **operation(Scope.WRITE, 30001, 30002, 30003, 30012, 30014, 30017, 40008),
)
async def retry_task(
    using: Using, by: By, task_id: TaskId, idempotency_key: IdempotencyKey = None
) -> Envelope[Accepted]:
    """Queue a new task with the request of this one."""
    return ok(await SubmissionService(using, by).retry(task_id, idempotency_key), 202)


@router.delete("/{task_id}", **operation(Scope.ADMIN, 30003, 30015))
async def delete_task(using: Using, by: By, task_id: TaskId) -> Envelope[Deleted]:
    """Delete an ended task and its files."""
    await TaskService(using).delete(task_id, by)
    return ok(Deleted(id=task_id))


@router.get(
    "/{task_id}/logs",
    response_model=Envelope[LogPage],
    **operation(Scope.READ, 30003, 40002, answers=_LOGS),
)
async def get_logs(
    using: Using,
    task_id: TaskId,
    wanted: Annotated[LogFilter, Query()],
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: LastEventId = None,
) -> Envelope[LogPage] | Response:
    """The task's log, oldest line first; with `Accept: text/event-stream` a stream as below."""
    if "text/event-stream" in accept:
        return await _stream(using, task_id, wanted.level, last_event_id)
    return ok(await TaskService(using).logs(task_id, wanted))


@router.get("/{task_id}/logs/stream", name="stream_task_logs", **_FOLLOW)
@router.get("/{task_id}/events", name="stream_task_events", **_FOLLOW)
async def stream_events(
    using: Using,
    task_id: TaskId,
    level: Annotated[Level, Query(description="Log lines of this level and above.")] = "DEBUG",
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a task as server-sent events until it ends; resumes after `Last-Event-ID`."""
    return await _stream(using, task_id, level, last_event_id)


async def _stream(using: Services, task_id: str, level: str, last_event_id: str | None) -> Response:
    await TaskService(using).must_exist(task_id)
    events = streams.task_events(
        using.database,
        using.listener,
        task_id,
        after=streams.parse_last_event_id(last_event_id),
        level=level,
    )
    return StreamingResponse(events, media_type="text/event-stream", headers=streams.HEADERS)
