"""Errors of the gateway, and the one table of every code (contract, "Codes").

* mof_benchmark.errors.MofsimError
  * GatewayError
    - InternalError 10001, DatabaseUnavailableError 10002, OrchestratorUnavailableError 10003,
      StorageError 10004
    - MissingKeyError 20001, InvalidKeyError 20002, ExpiredKeyError 20003, ScopeMissingError 20004
    - StructureNotFoundError 30002, TaskNotFoundError 30003, FileMissingError 30004,
      GpuNotFoundError 30005, AlertNotFoundError 30006, RouteNotFoundError 30007
    - NoGpuError 30011, QueueFullError 30012, NameTakenError 30013, ModelNotValidatedError 30014,
      ResourceInUseError 30015, StructureTooLargeError 30016, ResultExpiredError 30018
    - MalformedBodyError 40003, FileTooLargeError 40004, MethodNotAllowedError 40007,
      IdempotencyConflictError 40008, WebhookAddressError 40010, RateLimitedError 40029
    - TaskTimedOutError 50002, TaskNotFinishedError 50003, TaskNotCancellableError 50004,
      WorkerLostError 50009
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from mof_benchmark.errors import InvalidParameterError, MofsimError


class GatewayError(MofsimError):
    """An error of the service rather than of the science."""

    retry_after_seconds: ClassVar[int | None] = None
    """Seconds for the `Retry-After` header, where waiting helps."""

    @property
    def headers(self) -> dict[str, str]:
        if self.retry_after_seconds is None:
            return {}
        return {"Retry-After": str(self.retry_after_seconds)}


class InternalError(GatewayError):
    """A fault of ours; its detail never carries a traceback, a path or a secret."""

    code, status = 10001, 500


class DatabaseUnavailableError(GatewayError):
    code, status, retry_after_seconds = 10002, 503, 2
    message_en, message_zh = "Database unavailable", "数据库不可用"


class OrchestratorUnavailableError(GatewayError):
    code, status, retry_after_seconds = 10003, 503, 5
    message_en, message_zh = "Orchestrator unavailable", "编排服务(Prefect)不可用"


class StorageError(GatewayError):
    code, status = 10004, 507
    message_en, message_zh = "Storage full or failing", "存储空间不足或存储故障"


class MissingKeyError(GatewayError):
    code, status = 20001, 401
    message_en, message_zh = "No API key", "缺少 API Key"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class InvalidKeyError(GatewayError):
    code, status = 20002, 401
    message_en, message_zh = "Invalid API key", "API Key 无效"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class ExpiredKeyError(InvalidKeyError):
    code, status = 20003, 401
    message_en, message_zh = "API key expired or revoked", "API Key 已过期或已吊销"


class ScopeMissingError(GatewayError):
    code, status = 20004, 403
    message_en, message_zh = "The API key lacks a scope", "API Key 权限不足"


class StructureNotFoundError(GatewayError):
    code, status = 30002, 404
    message_en, message_zh = "Structure not found", "结构未找到"


class TaskNotFoundError(GatewayError):
    code, status = 30003, 404
    message_en, message_zh = "Task not found", "任务未找到"


class FileMissingError(GatewayError):
    code, status = 30004, 404
    message_en, message_zh = "File not found", "文件未找到"


class GpuNotFoundError(GatewayError):
    code, status = 30005, 404
    message_en, message_zh = "GPU not found", "GPU 未找到"


class AlertNotFoundError(GatewayError):
    code, status = 30006, 404
    message_en, message_zh = "Alert or rule not found", "告警或规则未找到"


class RouteNotFoundError(GatewayError):
    code, status = 30007, 404
    message_en, message_zh = "No such route", "接口不存在"


class NoGpuError(GatewayError):
    code, status, retry_after_seconds = 30011, 503, 10
    message_en, message_zh = "No GPU available", "没有可用的 GPU"


class QueueFullError(GatewayError):
    code, status, retry_after_seconds = 30012, 503, 30
    message_en, message_zh = "Queue full", "任务队列已满"


class NameTakenError(GatewayError):
    code, status = 30013, 409
    message_en, message_zh = "Name already taken", "名称已被占用"


class ModelNotValidatedError(GatewayError):
    code, status = 30014, 409
    message_en, message_zh = "Model not validated", "模型尚未通过验证"


class ResourceInUseError(GatewayError):
    code, status = 30015, 409
    message_en, message_zh = "Resource in use", "资源正在使用中"


class StructureTooLargeError(GatewayError):
    code, status = 30016, 422
    message_en, message_zh = "The structure fits no GPU's memory", "结构过大,任何 GPU 显存均无法容纳"


class ResultExpiredError(GatewayError):
    code, status = 30018, 410
    message_en, message_zh = "Result expired", "结果已过期"


class MalformedBodyError(GatewayError):
    code, status = 40003, 400
    message_en, message_zh = "Malformed body", "请求体格式错误"


class FileTooLargeError(GatewayError):
    code, status = 40004, 413
    message_en, message_zh = "File too large", "文件过大"


class MethodNotAllowedError(GatewayError):
    code, status = 40007, 405
    message_en, message_zh = "Method not allowed", "不支持该请求方法"


class IdempotencyConflictError(GatewayError):
    code, status = 40008, 409
    message_en, message_zh = (
        "Idempotency key reused with another body",
        "Idempotency-Key 已用于不同的请求",
    )


class WebhookAddressError(GatewayError):
    code, status = 40010, 422
    message_en, message_zh = "Webhook address not allowed", "不允许的回调地址"


class RateLimitedError(GatewayError):
    code, status = 40029, 429
    message_en, message_zh = "Rate limited", "请求过于频繁"

    def __init__(self, detail: str = "", *, field: str | None = None, wait_seconds: int = 1) -> None:
        super().__init__(detail, field=field)
        self.wait_seconds = wait_seconds

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.wait_seconds)}


class TaskTimedOutError(GatewayError):
    code, status = 50002, 500
    message_en, message_zh = "The task timed out", "任务超时"


class TaskNotFinishedError(GatewayError):
    code, status, retry_after_seconds = 50003, 409, 2
    message_en, message_zh = "The task has not finished", "任务尚未完成"


class TaskNotCancellableError(GatewayError):
    code, status = 50004, 409
    message_en, message_zh = "The task cannot be cancelled in its state", "当前状态的任务无法取消"


class WorkerLostError(GatewayError):
    code, status = 50009, 500
    message_en, message_zh = "The worker was lost more often than the retry limit", "工作进程丢失次数超过上限"


class BatchRefusedError(InvalidParameterError):
    """Some tasks of a batch are wrong, so none was accepted.

    Parameters
    ----------
    errors
        Pairs of the position in the batch and what is wrong there.
    """

    def __init__(self, errors: Sequence[tuple[int, MofsimError]]) -> None:
        super().__init__(f"{len(errors)} task(s) of the batch are wrong; none was accepted", field="tasks")
        self.errors = errors


class RangeRefusedError(InvalidParameterError):
    """A file has no such part; HTTP has a status of its own for that (RFC 9110, 15.5.17).

    Parameters
    ----------
    content_range
        Header that tells the file's size: `bytes */2560`.
    """

    status = 416

    def __init__(self, detail: str, *, content_range: str) -> None:
        super().__init__(detail, field="Range")
        self.headers = {"Content-Range": content_range}


def _every_class(root: type[MofsimError]) -> Iterator[type[MofsimError]]:
    for kind in root.__subclasses__():
        if "code" in vars(kind):
            yield kind
        yield from _every_class(kind)


CODES: dict[int, type[MofsimError]] = {
    kind.code: kind for kind in sorted(_every_class(MofsimError), key=lambda kind: kind.code)
}
"""Every code with the class that carries its status and both messages."""
