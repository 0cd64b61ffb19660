"""How a task ended: its result in the class of its calculation, or its error."""

from __future__ import annotations

from typing import Any, TypeVar

from mofsim_client._documents import TaskInfo, TaskStatus
from mofsim_client._exceptions import (
    APIError,
    ModelLoadError,
    TaskCancelledError,
    TaskTimeoutError,
    error_class,
)
from mofsim_client._inventory import ModelCommand
from mofsim_client._protocol import parse
from mofsim_client._settings import Connection
from mofsim_client.requests import SUBMISSIONS
from mofsim_client.results import Result

R = TypeVar("R", bound=Result)


def task_error(info: TaskInfo) -> APIError:
    """The exception that tells how a task ended without a result."""
    if info.error is not None:
        kind = error_class(info.error.code)
        stage = f" (stage {info.error.stage})" if info.error.stage else ""
        return kind(
            f"{info.task_id} ended {info.status}{stage}",
            code=info.error.code,
            detail=info.error.detail or info.error.type or "",
        )
    kind = {TaskStatus.CANCELLED: TaskCancelledError, TaskStatus.TIMEOUT: TaskTimeoutError}.get(
        info.status, error_class(50001)
    )
    return kind(f"{info.task_id} ended {info.status}")


def command_error(command: ModelCommand) -> APIError:
    """The exception that tells why a GPU could not load or release a model."""
    code = command.error.code if command.error else ModelLoadError.codes[0]
    detail = (command.error.detail or "") if command.error else ""
    return error_class(code)(
        f"GPU {command.gpu_id} could not {command.action} {command.model}", code=code, detail=detail
    )


def read_result(connection: Connection, data: dict[str, Any], kind: type[R] | None) -> R:
    """Read a result into the class of its calculation, able to download its files.

    Raises
    ------
    TaskError
        If the task ended without a result: the class of its own error.
    """
    if data.get("result") is None:
        raise task_error(parse(TaskInfo, data))
    chosen: Any = kind
    if chosen is None:
        submission = SUBMISSIONS.get(str(data.get("task_type")))
        chosen = submission.result_type if submission else Result
    result: R = parse(chosen, Result.from_answer(data))
    result._connection = connection
    return result
