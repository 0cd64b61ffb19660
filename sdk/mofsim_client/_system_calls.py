"""Calls about the service: health, GPUs, queue, storage, alerts, its own log."""

from __future__ import annotations

from typing import Any

from mofsim_client._base import ClientBase
from mofsim_client._effects import Flow, Item, Op
from mofsim_client._events import EventFeed
from mofsim_client._inventory import (
    AlertInfo,
    AlertLevel,
    AlertRule,
    GpuInfo,
    Health,
    QueueInfo,
    StorageDue,
    StorageInfo,
    SystemLogLine,
    SystemStatus,
)
from mofsim_client._methods import call, stream
from mofsim_client._protocol import parse


class SystemCalls(ClientBase):
    """Health, GPUs, queue and storage."""

    @call
    def get_health(self) -> Op[Health]:
        """Health of the service and its components; `status` is ok, degraded or down."""
        return (yield from self._health_operation())

    def _health_operation(self) -> Op[Health]:
        return parse(Health, (yield from self._ask("GET", "/health", accepted=(503,))))

    @call
    def list_gpus(self) -> Op[list[GpuInfo]]:
        """State of each GPU."""
        return (yield from self._gpus_operation())

    def _gpus_operation(self) -> Op[list[GpuInfo]]:
        return (yield from self._whole("/system/gpus", GpuInfo))

    @call
    def get_queue(self) -> Op[QueueInfo]:
        """Counts of the task queue."""
        return (yield from self._queue_operation())

    def _queue_operation(self) -> Op[QueueInfo]:
        return parse(QueueInfo, (yield from self._ask("GET", "/system/queue")))

    @call
    def get_system_status(self) -> Op[SystemStatus]:
        """Health, GPUs and queue together."""
        health = yield from self._health_operation()
        gpus = yield from self._gpus_operation()
        queue = yield from self._queue_operation()
        return SystemStatus(health=health, gpus=gpus, queue=queue)

    @call
    def get_config(self) -> Op[dict[str, Any]]:
        """The server's settings, with every secret masked."""
        return dict((yield from self._ask("GET", "/system/config"))["settings"])

    @call
    def get_storage(self) -> Op[StorageInfo]:
        """What the server keeps, and how much room is left."""
        return parse(StorageInfo, (yield from self._ask("GET", "/system/storage")))

    @call
    def get_storage_due(self) -> Op[StorageDue]:
        """What the daily data care would compress and clear away now (scope `admin`)."""
        return parse(StorageDue, (yield from self._ask("GET", "/system/storage/due")))

    @stream
    def stream_system_logs(self) -> Flow[SystemLogLine]:
        """The gateway's own log from its latest lines on, without end (scope `admin`).

        The lines have no numbers: those written while a broken connection is opened again are lost.
        """
        return self._system_logs_flow()

    def _system_logs_flow(self) -> Flow[SystemLogLine]:
        feed = EventFeed(self.connection, "/system/logs/stream")
        while (event := (yield from feed.next())) is not None:
            yield Item(parse(SystemLogLine, event.data))


class AlertCalls(ClientBase):
    """Alerts and the rules that raise them."""

    @call
    def list_alert_rules(self) -> Op[list[AlertRule]]:
        """The rules: thresholds, Prefect's automation of each, and whether it is muted."""
        return (yield from self._whole("/system/alerts/rules", AlertRule))

    @call
    def list_active_alerts(self) -> Op[list[AlertInfo]]:
        """The alerts that last, oldest first."""
        return (yield from self._whole("/system/alerts/active", AlertInfo))

    @stream
    def list_alerts(self, *, type: str | None = None, level: AlertLevel | None = None) -> Flow[AlertInfo]:
        """Iterate over all alerts, lasting or over, newest first.

        Parameters
        ----------
        type
            Only those of this rule.
        level
            Only those of this level.
        """
        query = {name: value for name, value in (("type", type), ("level", level)) if value}
        return self._pages("/system/alerts/history", AlertInfo, query)
