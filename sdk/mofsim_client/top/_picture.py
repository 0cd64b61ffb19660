"""What the screen shows: the service and its tasks at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mofsim_client import AlertInfo, AsyncMOFSimClient, AsyncTask, SystemStatus, TaskInfo, TaskStatus

MOST_QUEUED = 200
"""Of a longer queue the screen shows the newest."""
LATELY_ENDED = 20
_RANK = {TaskStatus.RUNNING: 0, TaskStatus.ASSIGNED: 1, TaskStatus.QUEUED: 2, TaskStatus.PENDING: 2}
_PRIORITIES = ("CRITICAL", "HIGH", "NORMAL", "LOW")


@dataclass(frozen=True)
class Picture:
    """The service as it answered at one moment."""

    at: datetime
    system: SystemStatus
    tasks: list[TaskInfo]
    alerts: list[AlertInfo] = field(default_factory=list)

    def ordered(self) -> list[TaskInfo]:
        """Running tasks by GPU, waiting ones by priority and age, ended ones newest first."""
        return sorted(self.tasks, key=self._place)

    def _place(self, task: TaskInfo) -> tuple[int, int, float]:
        rank = _RANK.get(task.status, 3)
        created = (task.created_at or self.at).timestamp()
        if rank == 2:
            return rank, _PRIORITIES.index(task.priority or "NORMAL"), created
        if rank == 3:
            return rank, 0, -(task.completed_at or task.created_at or self.at).timestamp()
        return rank, task.gpu_id or 0, created

    def task_on(self, gpu_id: int) -> TaskInfo | None:
        """The task a GPU computes."""
        for gpu in self.system.gpus:
            if gpu.gpu_id == gpu_id and gpu.current is not None:
                return next((task for task in self.tasks if task.task_id == gpu.current.task_id), None)
        return None


async def look(client: AsyncMOFSimClient) -> Picture:
    """Ask the service for everything the screen shows."""
    system, alerts, *lists = await asyncio.gather(
        client.get_system_status(),
        client.list_active_alerts(),
        _infos(client.list_tasks(status=TaskStatus.RUNNING)),
        _infos(client.list_tasks(status=TaskStatus.ASSIGNED)),
        _infos(client.list_tasks(status=TaskStatus.QUEUED, limit=MOST_QUEUED)),
        _infos(client.list_tasks(limit=LATELY_ENDED)),
    )
    # A task that moved between two answers is taken from the later one.
    tasks = {task.task_id: task for found in lists for task in found}
    return Picture(datetime.now(UTC), system, list(tasks.values()), alerts)


async def _infos(tasks: AsyncIterator[AsyncTask[Any]]) -> list[TaskInfo]:
    return [task.info async for task in tasks]
