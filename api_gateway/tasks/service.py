"""Tasks shown, cancelled and deleted."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.audit import record
from api_gateway.auth.guard import Caller
from api_gateway.database.models import (
    File,
    Priority,
    Task,
    TaskLog,
    TaskResult,
    TaskStatus,
)
from api_gateway.envelope import CursorPage
from api_gateway.errors import (
    ResourceInUseError,
    ResultExpiredError,
    TaskNotCancellableError,
    TaskNotFinishedError,
    TaskNotFoundError,
)
from api_gateway.files import repository as files
from api_gateway.paging import cursor_of, place_of
from api_gateway.scheduling.service import Cancellation
from api_gateway.services import Services
from api_gateway.tasks import repository
from api_gateway.tasks.schemas import (
    BatchView,
    LogFilter,
    LogLine,
    LogPage,
    Move,
    TaskFile,
    TaskFilter,
    TaskResultView,
    TaskSummary,
    TaskView,
)

API = "/api/v1"


class TaskService:
    """What can be done with tasks that are there."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database

    async def get(self, task_id: str) -> TaskView:
        async with self._database.reading() as session:
            found = await repository.overview(session, task_id)
            if found is None:
                raise _missing(task_id)
            task = found.task
            outlook = await self._services.queue.outlook(session, task)
        return TaskView(
            **_summary_fields(task),
            parameters=task.parameters,
            options=task.options,
            n_atoms=task.n_atoms,
            n_edges=task.n_edges,
            memory_estimate_MB=task.memory_estimate_MB,
            retry_of=task.retry_of,
            request_id=task.request_id,
            position=outlook.position if outlook else None,
            estimated_wait_seconds=outlook.estimated_wait_seconds if outlook else None,
            cancel_requested=task.stop_requested_at is not None,
            queued_at=task.queued_at,
            assigned_at=task.assigned_at,
            duration_seconds=_duration(task),
            placement=found.placement,
            history=[Move.model_validate(move) for move in found.history],
            links=self._links(task, found.flow_run_id),
        )

    async def page(self, wanted: TaskFilter) -> CursorPage[TaskSummary]:
        before = place_of(wanted.cursor) if wanted.cursor is not None else None
        async with self._database.reading() as session:
            tasks = await repository.page(session, wanted, before)
            filters = wanted.model_dump_json(exclude={"page", "page_size", "cursor"})
            total = await self._services.counts.of(filters, lambda: repository.count(session, wanted))
        shown = tasks[: wanted.page_size]
        if before is not None:
            wanted.page = 1
        return CursorPage(
            items=[summary(task) for task in shown],
            pagination=wanted.pagination(total),
            next_cursor=cursor_of(shown[-1].place) if len(tasks) > len(shown) else None,
        )

    async def batch(self, batch_id: str) -> BatchView:
        async with self._database.reading() as session:
            batch = await repository.find_batch(session, batch_id)
            if batch is None:
                raise TaskNotFoundError(f"There is no batch {batch_id!r}")
            tasks = await repository.batch_tasks(session, batch_id)
        counts = Counter(task.status for task in tasks)
        return BatchView(
            batch_id=batch.id,
            created_at=batch.created_at,
            n_tasks=batch.n_tasks,
            counts={status: counts[status] for status in TaskStatus},
            tasks=[summary(task) for task in tasks],
        )

    async def result(self, task_id: str) -> TaskResultView:
        """The result of an ended task.

        Raises
        ------
        TaskNotFoundError, TaskNotFinishedError
        ResultExpiredError
            When it was completed long ago and its result has been cleared away.
        """
        async with self._database.begin() as session:
            task = await _found(session, task_id)
            if not task.status.ended:
                raise TaskNotFinishedError(f"The task is {task.status}")
            stored = await repository.result(session, task_id)
            if stored is None and task.status is TaskStatus.COMPLETED:
                raise ResultExpiredError("The result has been cleared away")
            written = await files.of_task(session, task_id, stored.attempt) if stored else []
            if self._services.settings.storage.extend_on_access:
                await files.used(session, task_id)
        return TaskResultView(
            task_id=task.id,
            task_type=task.task_type,
            status=task.status,
            model=task.model,
            structure_name=task.structure["name"],
            created_at=task.created_at,
            started_at=task.started_at,
            completed_at=task.ended_at,
            duration_seconds=_duration(task),
            gpu_id=task.gpu_id,
            result=_result(stored, written) if stored else None,
            metrics=stored.result.get("metrics") if stored else None,
            error=task.error,
        )

    async def files(self, task_id: str) -> list[TaskFile]:
        """The files of an ended task, however it ended.

        Raises
        ------
        TaskNotFoundError, TaskNotFinishedError
        ResultExpiredError
            When they have been cleared away.
        """
        async with self._database.reading() as session:
            task = await _found(session, task_id)
            if not task.status.ended:
                raise TaskNotFinishedError(f"The task is {task.status}")
            written = await files.left_by(session, task_id)
        kept = [file for file in written if file.stored_bytes != 0]
        if written and not kept:
            raise ResultExpiredError("The files have been cleared away")
        return [_file(file) for file in kept]

    async def cancel(self, task_id: str, caller: Caller) -> TaskView:
        """Cancel at once while waiting; ask to stop while running.

        Raises
        ------
        TaskNotFoundError, TaskNotCancellableError
        """
        async with self._database.begin() as session:
            outcome = await self._services.queue.cancel(session, task_id)
            if outcome in (Cancellation.CANCELLED, Cancellation.STOPPING):
                record(session, caller, "task.cancel", task_id)
        if outcome is Cancellation.UNKNOWN:
            raise _missing(task_id)
        view = await self.get(task_id)
        if outcome is Cancellation.ENDED:
            raise TaskNotCancellableError(f"The task is {view.status} already")
        return view

    async def delete(self, task_id: str, caller: Caller) -> None:
        """Remove an ended task, its rows and its files; an audit line stays.

        Raises
        ------
        TaskNotFoundError, ResourceInUseError
        """
        async with self._database.begin() as session:
            task = await repository.find_locked(session, task_id)
            if task is None:
                raise _missing(task_id)
            if not task.status.ended:
                raise ResourceInUseError(f"The task is {task.status}; cancel it first")
            record(session, caller, "task.delete", task_id, model=task.model, status=task.status.value)
            await session.delete(task)
        folder = self._services.settings.storage_root / "results" / task_id
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def logs(self, task_id: str, wanted: LogFilter) -> LogPage:
        """A page of the log, oldest first."""
        after = place_of(wanted.cursor) if wanted.cursor is not None else 0
        async with self._database.reading() as session:
            lines = await repository.logs(
                session,
                task_id,
                level=wanted.level,
                since=wanted.since,
                after_id=after,
                limit=wanted.limit + 1,
            )
            if not lines and not await repository.exists(session, task_id):
                raise _missing(task_id)
        shown = lines[: wanted.limit]
        return LogPage(
            items=[_line(line) for line in shown],
            next_cursor=cursor_of(shown[-1].id) if len(lines) > len(shown) else None,
        )

    async def must_exist(self, task_id: str) -> None:
        """Raises `TaskNotFoundError` unless there is such a task."""
        async with self._database.reading() as session:
            if not await repository.exists(session, task_id):
                raise _missing(task_id)

    def _links(self, task: Task, flow_run_id: UUID | None) -> dict[str, str]:
        here = f"{API}/tasks/{task.id}"
        links = {"self": here, "events": f"{here}/events", "logs": f"{here}/logs"}
        if task.status.ended:
            links |= {"result": f"{here}/result", "files": f"{here}/files"}
        ui = self._services.settings.prefect.ui_url
        if ui and flow_run_id is not None:
            links["prefect_ui"] = f"{ui.rstrip('/')}/runs/flow-run/{flow_run_id}"
        return links


async def _found(session: AsyncSession, task_id: str) -> Task:
    task = await repository.find(session, task_id)
    if task is None:
        raise _missing(task_id)
    return task


def _missing(task_id: str) -> TaskNotFoundError:
    return TaskNotFoundError(f"There is no task {task_id!r}")


def _duration(task: Task) -> float | None:
    if task.started_at is None or task.ended_at is None:
        return None
    return round((task.ended_at - task.started_at).total_seconds(), 3)


def _summary_fields(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "task_type": task.task_type,
        "status": task.status,
        "priority": Priority(task.priority).name,
        "model": task.model,
        "structure_id": task.structure_id,
        "structure_name": task.structure["name"],
        "batch_id": task.batch_id,
        "tags": task.tags,
        "gpu_id": task.gpu_id,
        "attempt": task.attempt,
        "progress": task.progress,
        "error": task.error,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "completed_at": task.ended_at,
    }


def summary(task: Task) -> TaskSummary:
    return TaskSummary(**_summary_fields(task))


def _line(line: TaskLog) -> LogLine:
    return LogLine(
        id=line.id,
        timestamp=line.timestamp,
        level=line.level,
        logger=line.logger,
        message=line.message,
        task_id=line.task_id,
        attempt=line.attempt,
        gpu_id=line.gpu_id,
        extra=line.extra,
    )


def _file(file: File) -> TaskFile:
    return TaskFile(
        file_id=file.id,
        role=file.role,
        # results/<task>/<attempt>/…
        path=PurePosixPath(*PurePosixPath(file.path).parts[3:]).as_posix(),
        media_type=file.media_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=file.created_at,
        url=f"{API}/files/{file.id}",
    )


def _result(stored: TaskResult, written: Sequence[File]) -> dict[str, Any]:
    document = {name: value for name, value in stored.result.items() if name != "metrics"}
    return document | {"output_files": _addresses(written)}


def _addresses(written: Sequence[File]) -> dict[str, str]:
    """Each role's address; a role written in several formats has the later ones by their suffix."""
    addresses: dict[str, str] = {}
    for file in written:
        role = file.role
        if role in addresses:
            role = f"{role}_{PurePosixPath(file.path).suffix.removeprefix('.')}"
        addresses[role] = f"{API}/files/{file.id}"
    return addresses
