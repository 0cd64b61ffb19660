"""Every error of the package, as one tree.

* MOFSimError
  - ConnectionFailedError: no server answers at the address
  - IncompatibleServerError: something answers, but not this version of the contract
  - WaitTimeoutError: the client's own patience ended; the task goes on
  - WebhookVerificationError: a webhook's signature or age is wrong
  - StructureError: `structure=` is nothing that can be sent
  - MissingPackageError: an optional package is needed for this
  * APIError: the server refused, with its code
    * ServerError 1xxxx: InternalServerError, DatabaseUnavailableError,
      OrchestratorUnavailableError, StorageError
    * AuthenticationError 2xxxx: MissingKeyError, InvalidKeyError, ExpiredKeyError, ScopeError
    * ResourceError 3xxxx
      * NotFoundError: ModelNotFoundError, StructureNotFoundError, TaskNotFoundError,
        RemoteFileNotFoundError, GPUNotFoundError, AlertNotFoundError, RouteNotFoundError
      - NoGPUError, QueueFullError, NameTakenError, ModelNotValidatedError, InUseError,
        StructureTooLargeError, ModelWeightsMissingError, ResultExpiredError
    * RequestError 4xxxx: UnsupportedFormatError, InvalidParameterError, MalformedBodyError,
      FileTooLargeError, InvalidFileError, UnsupportedElementError, MethodNotAllowedError,
      IdempotencyConflictError, UnsafeModelFileError, WebhookAddressError, RateLimitedError
    * TaskError 5xxxx: TaskFailedError, TaskTimeoutError, NotFinishedError, NotCancellableError,
      TaskCancelledError, NotConvergedError, OutOfMemoryError, UnphysicalError, WorkerLostError,
      ModelLoadError
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class MOFSimError(Exception):
    """Root of every error of the client."""


class ConnectionFailedError(MOFSimError, ConnectionError):
    """No server answers at the address, or the connection broke more often than it is retried."""


class IncompatibleServerError(MOFSimError):
    """Something answers at the address, but it does not speak this version of the contract."""


class WaitTimeoutError(MOFSimError, TimeoutError):
    """`timeout` of a wait has passed; the task itself goes on."""


class WebhookVerificationError(MOFSimError, ValueError):
    """The webhook was not signed with this secret, was changed on its way, or is too old."""


class StructureError(MOFSimError, ValueError):
    """`structure=` is neither a file, a structure object, a built-in's name nor an uploaded id."""


class MissingPackageError(MOFSimError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class APIError(MOFSimError):
    """The server refused a request, or tells how a task ended.

    Attributes
    ----------
    code
        The five digits of the contract; the class is chosen by it.
    message
        What the code means, in the language asked for.
    detail
        What was wrong with this very request.
    field
        Path of the offending field (`parameters.fmax`), where there is one.
    errors
        What is wrong with each task of a refused batch: `{index, code, message, detail, field}`.
    request_id
        Names this request in every log of the server.
    status
        HTTP status; 0 for the stored error of a task.
    """

    code: int = 0
    codes: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        detail: str = "",
        field: str | None = None,
        request_id: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        status: int = 0,
    ) -> None:
        self.code = code if code is not None else next(iter(self.codes), 0)
        self.message = message
        self.detail = detail
        self.field = field
        self.request_id = request_id
        self.errors = errors or []
        self.status = status
        super().__init__(self._text())

    def _text(self) -> str:
        text = self.message if self.detail in ("", self.message) else f"{self.message}: {self.detail}"
        for item in self.errors[:3]:
            text += f"; [{item.get('index')}] {item.get('field') or ''} {item.get('detail', '')}".rstrip()
        notes = [f"code {self.code}"]
        if self.field:
            notes.append(f"field {self.field}")
        if self.request_id:
            notes.append(self.request_id)
        return f"{text} ({', '.join(notes)})"


class ServerError(APIError):
    """The service itself is in trouble (1xxxx)."""


class InternalServerError(ServerError):
    codes = (10001,)


class DatabaseUnavailableError(ServerError):
    codes = (10002,)


class OrchestratorUnavailableError(ServerError):
    codes = (10003,)


class StorageError(ServerError):
    codes = (10004,)


class AuthenticationError(APIError):
    """The API key is missing, wrong or may not do this (2xxxx)."""


class MissingKeyError(AuthenticationError):
    codes = (20001,)


class InvalidKeyError(AuthenticationError):
    codes = (20002,)


class ExpiredKeyError(AuthenticationError):
    codes = (20003,)


class ScopeError(AuthenticationError):
    codes = (20004,)


class ResourceError(APIError):
    """Something the request names is absent, taken or not ready (3xxxx)."""


class NotFoundError(ResourceError):
    """Something the request names does not exist."""


class ModelNotFoundError(NotFoundError):
    codes = (30001,)


class StructureNotFoundError(NotFoundError):
    codes = (30002,)


class TaskNotFoundError(NotFoundError):
    codes = (30003,)


class RemoteFileNotFoundError(NotFoundError):
    codes = (30004,)


class GPUNotFoundError(NotFoundError):
    codes = (30005,)


class AlertNotFoundError(NotFoundError):
    codes = (30006,)


class RouteNotFoundError(NotFoundError):
    codes = (30007,)


class NoGPUError(ResourceError):
    codes = (30011,)


class QueueFullError(ResourceError):
    codes = (30012,)


class NameTakenError(ResourceError):
    codes = (30013,)


class ModelNotValidatedError(ResourceError):
    codes = (30014,)


class InUseError(ResourceError):
    codes = (30015,)


class StructureTooLargeError(ResourceError):
    """The structure cannot fit any GPU's memory with this model."""

    codes = (30016,)


class ModelWeightsMissingError(ResourceError):
    codes = (30017,)


class ResultExpiredError(ResourceError):
    codes = (30018,)


class RequestError(APIError):
    """The request cannot be served as it stands (4xxxx)."""


class UnsupportedFormatError(RequestError):
    codes = (40001,)


class InvalidParameterError(RequestError):
    codes = (40002,)


class MalformedBodyError(RequestError):
    codes = (40003,)


class FileTooLargeError(RequestError):
    codes = (40004,)


class InvalidFileError(RequestError):
    codes = (40005,)


class UnsupportedElementError(RequestError):
    codes = (40006,)


class MethodNotAllowedError(RequestError):
    codes = (40007,)


class IdempotencyConflictError(RequestError):
    codes = (40008,)


class UnsafeModelFileError(RequestError):
    codes = (40009,)


class WebhookAddressError(RequestError):
    codes = (40010,)


class RateLimitedError(RequestError):
    codes = (40029,)


class TaskError(APIError):
    """About a task's end or its state (5xxxx)."""


class TaskFailedError(TaskError):
    codes = (50001,)


class TaskTimeoutError(TaskError):
    codes = (50002,)


class NotFinishedError(TaskError):
    codes = (50003,)


class NotCancellableError(TaskError):
    codes = (50004,)


class TaskCancelledError(TaskError):
    codes = (50005,)


class NotConvergedError(TaskError):
    codes = (50006,)


class OutOfMemoryError(TaskError):
    codes = (50007,)


class UnphysicalError(TaskError):
    codes = (50008,)


class WorkerLostError(TaskError):
    codes = (50009,)


class ModelLoadError(TaskError):
    codes = (50010,)


def _descendants(kind: type[APIError]) -> Iterator[type[APIError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)


_BY_CODE = {code: kind for kind in _descendants(APIError) for code in kind.codes}
_BY_FAMILY: dict[int, type[APIError]] = {
    1: ServerError,
    2: AuthenticationError,
    3: ResourceError,
    4: RequestError,
    5: TaskError,
}


def error_class(code: int) -> type[APIError]:
    """The class of a code; a code newer than this package gets its family's class."""
    return _BY_CODE.get(code) or _BY_FAMILY.get(code // 10_000, APIError)
