"""What a failure means: which code a person sees, and whether trying again may help."""

from __future__ import annotations

import re
from typing import TypedDict

from mof_benchmark.errors import (
    CalculationError,
    CalculationFailedError,
    MofsimError,
    OutOfMemoryError,
    StoppedError,
)


class HostLostError(MofsimError):
    """The GPU host died, was killed or could not be reached while a stage was on it."""

    code, status = 50009, 500
    message_en, message_zh = "The GPU host was lost", "计算节点丢失"
    transient = True


class SchedulerLostError(HostLostError):
    """The Dask scheduler died or could not be reached, and every stage on every host with it."""


class ReplacedError(StoppedError):
    """A newer attempt of the task has taken over: this one ends and writes nothing."""


class DeviceError(MofsimError):
    """The GPU or a connection failed under a calculation that is not to blame."""

    code, status = 50001, 500
    message_en, message_zh = "The device failed", "计算设备故障"
    transient = True


class AttemptErrorDocument(TypedDict):
    """What `attempt_error` stores."""

    code: int
    type: str
    detail: str
    stage: str | None
    transient: bool
    interrupted: bool
    """Whether what serves all tasks failed: no mark against this one."""


def error_document(error: BaseException, stage: str | None) -> AttemptErrorDocument:
    """Describe an error for the attempt's row; unknown exceptions become 50001 without internals."""
    known = named(error)
    return {
        "code": known.code,
        "type": type(known).__name__,
        "detail": known.detail,
        "stage": stage,
        "transient": known.transient,
        "interrupted": isinstance(known, SchedulerLostError),
    }


def named(error: BaseException) -> MofsimError:
    """Give any exception one of our classes, so that it can leave the process it happened in.

    A CUDA exception, for one, could not be unpickled in the pool worker, which has no torch.
    """
    if isinstance(error, MofsimError):
        # The library cannot know why the model failed; under a broken device it is not to blame.
        unexplained = type(error) in (CalculationError, CalculationFailedError)
        return DeviceError(error.detail) if unexplained and _is_device_failure(error) else error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return OutOfMemoryError(clean(error))
    if _is_device_failure(error) or isinstance(error, ConnectionError):
        return DeviceError(clean(error))
    return CalculationFailedError(clean(error))


def clean(error: BaseException) -> str:
    """The first line of an exception's text, without paths, and its kind."""
    lines = str(error).strip().splitlines()
    text = re.sub(r"(?:/[\w.+-]+){2,}", "…", lines[0])[:300] if lines else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_device_failure(error: BaseException) -> bool:
    signs = r"\b(CUDA|cuDNN|CUBLAS\w*|NCCL|NVML)\b.*error|device-side assert"
    return re.search(signs, str(error)) is not None
