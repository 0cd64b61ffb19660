"""Errors with a code, an HTTP status and a message in both languages.

`MofsimError` is the root for the whole product. The classes here are those that calculations,
structures and models raise; the gateway adds its own in `api_gateway/errors.py`.

* MofsimError
  * InputError: the request cannot be computed as it stands
    - UnsupportedFormatError 40001, InvalidParameterError 40002, InvalidFileError 40005,
      UnsupportedElementError 40006, UnsafeModelFileError 40009
  * ModelError
    - ModelNotFoundError 30001, ModelWeightsMissingError 30017, ModelLoadError 50010
  * CalculationError: the calculation ended badly
    - CalculationFailedError 50001, NotConvergedError 50006, OutOfMemoryError 50007,
      UnphysicalError 50008
  * StoppedError 50005: asked to stop at a step boundary
"""

from __future__ import annotations

from typing import Any, ClassVar


class MofsimError(Exception):
    """Root of every error a user can meet.

    Parameters
    ----------
    detail
        What was wrong with this very input, in English, for a person.
    field
        Path of the offending field (`parameters.fmax`), where there is one.
    """

    code: ClassVar[int] = 10001
    status: ClassVar[int] = 500
    message_en: ClassVar[str] = "Internal error"
    message_zh: ClassVar[str] = "服务内部错误"
    transient: ClassVar[bool] = False
    """Whether the same work may succeed when tried again."""

    def __init__(self, detail: str = "", *, field: str | None = None) -> None:
        super().__init__(detail or self.message_en)
        self.detail = detail or self.message_en
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders (Dask); the default would lose `field`.
        return _rebuild, (type(self), self.detail, self.field)

    def message(self, language: str) -> str:
        return self.message_zh if language == "zh" else self.message_en


def _rebuild(kind: type[MofsimError], detail: str, field: str | None) -> MofsimError:
    return kind(detail, field=field)


class InputError(MofsimError):
    """The request cannot be computed as it stands."""


class UnsupportedFormatError(InputError):
    code, status = 40001, 415
    message_en, message_zh = "Unsupported file format", "文件格式不支持"


class InvalidParameterError(InputError):
    code, status = 40002, 422
    message_en, message_zh = "Invalid parameter", "参数无效"


class InvalidFileError(InputError):
    code, status = 40005, 422
    message_en, message_zh = "Invalid file content", "文件内容无效"


class UnsupportedElementError(InputError):
    code, status = 40006, 422
    message_en, message_zh = "Element not supported by the model", "模型不支持该元素"


class UnsafeModelFileError(InputError):
    code, status = 40009, 422
    message_en, message_zh = "Unsafe model file", "模型文件不安全"


class ModelError(MofsimError):
    """Something is wrong with the model rather than with the structure."""


class ModelNotFoundError(ModelError):
    code, status = 30001, 404
    message_en, message_zh = "Model not found", "模型未找到"


class ModelWeightsMissingError(ModelError):
    code, status = 30017, 409
    message_en, message_zh = "Model weights are not on this host", "本机没有该模型的权重"


class ModelLoadError(ModelError):
    code, status = 50010, 500
    message_en, message_zh = "Model could not be loaded", "模型加载失败"


class CalculationError(MofsimError):
    """The calculation ended badly."""


class CalculationFailedError(CalculationError):
    code, status = 50001, 500
    message_en, message_zh = "The task failed", "任务执行失败"


class NotConvergedError(CalculationError):
    code, status = 50006, 500
    message_en, message_zh = "The optimizer did not converge", "优化未收敛"


class OutOfMemoryError(CalculationError):
    code, status = 50007, 500
    message_en, message_zh = "Out of GPU memory", "显存不足"


class UnphysicalError(CalculationError):
    code, status = 50008, 500
    message_en, message_zh = "The simulation became unphysical", "模拟出现非物理结果"


class StoppedError(MofsimError):
    """Raised at a step boundary when the task was cancelled or its time is up."""

    code, status = 50005, 409
    message_en, message_zh = "Stopped on request", "任务已按请求停止"
