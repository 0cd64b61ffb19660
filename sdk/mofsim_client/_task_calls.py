"""Calls about tasks."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mofsim_client._base import ClientBase
from mofsim_client._display import Listing
from mofsim_client._documents import (
    BatchInfo,
    Event,
    LogLine,
    Priority,
    TaskInfo,
    TaskStatus,
    WebhookDelivery,
)
from mofsim_client._effects import Flow, Item, Op, Upload
from mofsim_client._methods import Blocking, call, stream
from mofsim_client._outcomes import read_result
from mofsim_client._protocol import items_of, next_cursor, parse
from mofsim_client._structures import UploadedId, resolve_structure
from mofsim_client._task_methods import submits, task_call, task_stream, tasks_call
from mofsim_client._tasks import AsyncTask, Task, TaskBase
from mofsim_client.requests import (
    BulkModulus,
    HeatCapacity,
    InteractionEnergy,
    Optimization,
    SinglePoint,
    Stability,
    Submission,
)


class TaskCalls(ClientBase):
    """Submitting, following and ending tasks."""

    def _task(self, info: TaskInfo, result_type: type[Any] | None = None) -> TaskBase[Any]:
        kind: type[TaskBase[Any]] = Task if isinstance(self, Blocking) else AsyncTask
        return kind(self, info, result_type)

    submit_single_point = submits(SinglePoint)
    submit_optimization = submits(Optimization)
    submit_stability = submits(Stability)
    submit_bulk_modulus = submits(BulkModulus)
    submit_heat_capacity = submits(HeatCapacity)
    submit_interaction_energy = submits(InteractionEnergy)

    @task_call
    def submit(self, submission: Submission[Any]) -> Op[TaskBase[Any]]:
        """Submit a calculation given as a value of `mofsim_client.requests`."""
        return (yield from self._submit_operation(submission))

    def _submit_operation(self, submission: Submission[Any]) -> Op[TaskBase[Any]]:
        body = yield from self._body(submission, {})
        data = yield from self._ask(
            "POST",
            f"/tasks/{submission.task_type}",
            body=body,
            headers={"Idempotency-Key": submission.idempotency_key or f"sdk-{uuid.uuid4().hex}"},
        )
        info = parse(TaskInfo, {"model": submission.model, "task_type": submission.task_type, **data})
        return self._task(info, submission.result_type)

    @tasks_call
    def submit_batch(
        self, submissions: Sequence[Submission[Any]], *, idempotency_key: str | None = None
    ) -> Op[list[TaskBase[Any]]]:
        """Submit up to 1,000 calculations at once: all are accepted or none.

        A structure used by several is uploaded once. The tasks come back in the order given;
        `task.info.batch_id` names the batch.
        """
        uploaded: dict[Upload, str] = {}
        rows = []
        for submission in submissions:
            body = yield from self._body(submission, uploaded)
            rows.append({"task_type": submission.task_type, **body})
        data = yield from self._ask(
            "POST",
            "/tasks/batch",
            body={"tasks": rows},
            headers={"Idempotency-Key": idempotency_key or f"sdk-{uuid.uuid4().hex}"},
        )
        return Listing(
            self._task(
                parse(
                    TaskInfo,
                    {
                        "model": submission.model,
                        "task_type": submission.task_type,
                        "batch_id": data["batch_id"],
                        **row,
                    },
                ),
                submission.result_type,
            )
            for submission, row in zip(submissions, data["tasks"], strict=True)
        )

    @task_call
    def get_task(self, task_id: str) -> Op[TaskBase[Any]]:
        """Fetch a task."""
        return self._task(parse(TaskInfo, (yield from self._ask("GET", f"/tasks/{task_id}"))))

    @task_stream
    def list_tasks(
        self,
        *,
        status: TaskStatus | str | None = None,
        task_type: str | None = None,
        model: str | None = None,
        priority: Priority | None = None,
        batch_id: str | None = None,
        structure_id: str | None = None,
        tag: str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        limit: int | None = None,
    ) -> Flow[TaskBase[Any]]:
        """Iterate over tasks, newest first; pages are fetched as they are needed.

        Parameters
        ----------
        status, task_type, model, priority, batch_id, structure_id, tag
            Only tasks with this value.
        created_after, created_before
            Only tasks made in this time.
        limit
            Stop after this many.
        """
        left = limit
        query: dict[str, str | int] = {"page_size": min(100, limit or 100)}
        query |= {
            name: value.isoformat() if isinstance(value, datetime) else str(value)
            for name, value in {
                "status": status,
                "task_type": task_type,
                "model": model,
                "priority": priority,
                "batch_id": batch_id,
                "structure_id": structure_id,
                "tag": tag,
                "created_after": created_after,
                "created_before": created_before,
            }.items()
            if value is not None
        }
        cursor: str | None = ""
        while cursor is not None and left != 0:
            data = yield from self._ask("GET", "/tasks", query=query | ({"cursor": cursor} if cursor else {}))
            for item in items_of(data)[:left]:
                yield Item(self._task(parse(TaskInfo, item)))
                left = None if left is None else left - 1
            cursor = next_cursor(data)

    @call
    def get_batch(self, batch_id: str) -> Op[BatchInfo]:
        """A batch: its tasks and how many are in each state."""
        return parse(BatchInfo, (yield from self._ask("GET", f"/tasks/batches/{batch_id}")))

    @call
    def get_result(self, task_id: str) -> Op[Any]:
        """Fetch the result of a completed task, in the class of its calculation."""
        data = yield from self._ask("GET", f"/tasks/{task_id}/result")
        return read_result(self.connection, data, None)

    @call
    def cancel_task(self, task_id: str) -> Op[TaskInfo]:
        """Ask for a task to be stopped: at once while queued, at the next step when running."""
        data = yield from self._ask("POST", f"/tasks/{task_id}/cancel")
        return parse(TaskInfo, {"task_id": task_id, **data})

    @task_call
    def retry_task(self, task_id: str) -> Op[TaskBase[Any]]:
        """Submit a task's request again, as a new task."""
        return self._task(
            parse(TaskInfo, (yield from self._ask("POST", f"/tasks/{task_id}/retry", repeatable=False)))
        )

    @call
    def delete_task(self, task_id: str) -> Op[None]:
        """Remove an ended task and its files (scope `admin`)."""
        yield from self._ask("DELETE", f"/tasks/{task_id}")

    @stream
    def stream_logs(self, task_id: str, level: str = "DEBUG") -> Flow[LogLine]:
        """Log lines of a task, of this level and above, to its end, as they are written."""
        return self._by_id(task_id)._logs_flow(level)

    @stream
    def stream_events(self, task_id: str, last_event_id: str = "") -> Flow[Event]:
        """Events of a task to its end; continues after `last_event_id`."""
        return self._by_id(task_id)._events_flow(last_event_id)

    def _by_id(self, task_id: str) -> TaskBase[Any]:
        return self._task(TaskInfo(task_id=task_id, status=TaskStatus.PENDING))

    @call
    def list_webhooks(self, task_id: str) -> Op[list[WebhookDelivery]]:
        """Every webhook message of a task with its attempts."""
        return (yield from self._whole(f"/tasks/{task_id}/webhooks", WebhookDelivery))

    @call
    def redeliver_webhook(self, task_id: str, delivery_id: str) -> Op[None]:
        """Send a webhook message again."""
        yield from self._ask("POST", f"/tasks/{task_id}/webhooks/{delivery_id}/redeliver")

    def _body(self, submission: Submission[Any], uploaded: dict[Upload, str]) -> Op[dict[str, Any]]:
        structure = resolve_structure(submission.structure)
        if isinstance(structure, Upload):
            if structure not in uploaded:
                uploaded[structure] = (yield from self._upload_operation(structure, None)).file_id or ""
            structure = UploadedId(uploaded[structure], Path(structure.name).stem[:200])
        if isinstance(structure, UploadedId):
            reference = {"source": "upload", "file_id": structure.file_id}
            # The same content may have been uploaded under another name before.
            reference |= {"name": structure.name} if structure.name else {}
        else:
            reference = {"source": "builtin", "name": structure.name}
        return {
            "model": submission.model,
            "structure": reference,
            "parameters": submission.parameters(),
            "options": submission.options(),
        }
