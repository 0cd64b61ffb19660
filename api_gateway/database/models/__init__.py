"""The tables."""

from api_gateway.database.models.access import ApiKey, AuditLine, IdempotencyKey, RateBucket
from api_gateway.database.models.alerts import Alert, GatewayProcess
from api_gateway.database.models.base import Base
from api_gateway.database.models.slots import GpuSlot, PoolWorker, SimulatedGpu, SlotAction, SlotCommand
from api_gateway.database.models.storage import CustomModel, CustomModelStatus, File, Structure
from api_gateway.database.models.tasks import (
    ENDED,
    AttemptOutcome,
    Batch,
    DeviceKind,
    MemoryCalibration,
    Priority,
    StopReason,
    Task,
    TaskAttempt,
    TaskDuration,
    TaskHistory,
    TaskLog,
    TaskResult,
    TaskStatus,
)
from api_gateway.database.models.webhooks import DeliveryStatus, WebhookAttempt, WebhookDelivery

__all__ = [
    "ENDED",
    "Alert",
    "ApiKey",
    "AttemptOutcome",
    "AuditLine",
    "Base",
    "Batch",
    "CustomModel",
    "CustomModelStatus",
    "DeliveryStatus",
    "DeviceKind",
    "File",
    "GatewayProcess",
    "GpuSlot",
    "IdempotencyKey",
    "MemoryCalibration",
    "PoolWorker",
    "Priority",
    "RateBucket",
    "SimulatedGpu",
    "SlotAction",
    "SlotCommand",
    "StopReason",
    "Structure",
    "Task",
    "TaskAttempt",
    "TaskDuration",
    "TaskHistory",
    "TaskLog",
    "TaskResult",
    "TaskStatus",
    "WebhookAttempt",
    "WebhookDelivery",
]
