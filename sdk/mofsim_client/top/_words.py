"""Figures in few characters."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text

from mofsim_client import GpuInfo, TaskInfo, TaskStatus
from mofsim_client.top._picture import Picture

TYPES = {
    "single-point-energy": "single pt",
    "optimization": "optimize",
    "stability": "stability",
    "bulk-modulus": "bulk mod",
    "heat-capacity": "heat cap",
    "interaction-energy": "guest",
}
TASK_STYLES = {
    TaskStatus.RUNNING: "green",
    TaskStatus.ASSIGNED: "cyan",
    TaskStatus.QUEUED: "yellow",
    TaskStatus.PENDING: "yellow",
    TaskStatus.COMPLETED: "dim",
    TaskStatus.CANCELLED: "dim",
    TaskStatus.FAILED: "red",
    TaskStatus.TIMEOUT: "red",
}
STATE_STYLES = {
    "idle": "dim",
    "busy": "green",
    "unhealthy": "red",
    "lost": "bold red",
    "ok": "green",
    "degraded": "yellow",
    "down": "bold red",
}
PRIORITY_STYLES = {"CRITICAL": "bold red", "HIGH": "yellow", "NORMAL": "", "LOW": "dim"}
HOT_C = 85.0
WARM_C = 75.0
BAR_WIDTH = 7


def bar(fraction: float, style: str, width: int = BAR_WIDTH) -> Text:
    """A bar that also reads well without colours."""
    full = round(min(1.0, max(0.0, fraction)) * width)
    return Text.assemble(("█" * full, style), ("░" * (width - full), "dim"))


def span(seconds: float | None) -> str:
    """`45s`, `3m20`, `2h05`, `3d04`."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    for size, unit, below in ((86400, "d", 3600), (3600, "h", 60), (60, "m", 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // below:02d}"
    return f"{whole}s"


def since(at: datetime, start: datetime | None) -> str:
    return span((at - start).total_seconds()) if start else ""


def memory(gpu: GpuInfo) -> Text:
    """Used memory as a bar and in GB."""
    total, free = gpu.memory_total_MB, gpu.memory_free_MB
    if not total or free is None:
        return Text("-", "dim")
    used = total - free
    style = "red" if used > 0.92 * total else "yellow" if used > 0.75 * total else "green"
    return bar(used / total, style).append(f" {used / 1024:.1f}/{total / 1024:.0f}G")


def temperature(gpu: GpuInfo) -> Text:
    celsius = gpu.temperature_C
    if celsius is None:
        return Text("-", "dim")
    return Text(f"{celsius:.0f}°C", "red" if celsius > HOT_C else "yellow" if celsius > WARM_C else "")


def percent(value: float | None) -> Text:
    return Text("-", "dim") if value is None else Text(f"{value:.0f}%")


def progress(task: TaskInfo) -> Text:
    """How far a task is: a bar with its stage, or its state."""
    style = TASK_STYLES[task.status]
    found = task.progress
    if task.status is TaskStatus.RUNNING and found is not None:
        text = bar((found.percentage or 0.0) / 100, style).append(f" {found.percentage or 0:.0f}%")
        return text.append(f" {found.stage or ''}")
    words = task.status.lower()
    if task.error is not None:
        words += f" {task.error.code}"
    return Text(words, style)


def step(task: TaskInfo) -> str:
    """`120/1000` of a running task."""
    found = task.progress
    if task.status is not TaskStatus.RUNNING or found is None or found.current_step is None:
        return ""
    return f"{found.current_step}/{found.total_steps}" if found.total_steps else str(found.current_step)


def age(task: TaskInfo, at: datetime) -> str:
    """Run time of a running or ended task, waiting time of another."""
    if task.status.ended:
        if task.duration_seconds is not None:
            return span(task.duration_seconds)
        return since(task.completed_at, task.started_at) if task.completed_at else ""
    return since(at, task.started_at or task.created_at)


def figures(task: TaskInfo) -> str:
    """The latest values of a running task, or how it failed."""
    if task.error is not None:
        return f"{task.error.code} {task.error.type or ''}: {task.error.detail or ''}"
    found = task.progress
    if task.status is not TaskStatus.RUNNING or found is None:
        return task.status.lower()
    steps = f"step {found.current_step}/{found.total_steps}" if found.total_steps else ""
    values = [
        f"{name} {value:.6g}" for name, value in (found.values or {}).items() if isinstance(value, float)
    ]
    return " · ".join([part for part in (found.stage or "", steps) if part] + values)


def queue_line(picture: Picture) -> Text:
    """The queue by priority, and how long one waits."""
    queue = picture.system.queue
    text = Text(" Queue", "bold")
    for name in ("CRITICAL", "HIGH", "NORMAL", "LOW"):
        count = queue.queued_by_priority.get(name, 0)
        text.append(f"  {name} ", "dim").append(str(count), PRIORITY_STYLES[name] if count else "dim")
    if queue.oldest_queued_at is not None:
        text.append("  oldest ", "dim").append(since(picture.at, queue.oldest_queued_at))
    if queue.estimated_wait_seconds is not None:
        text.append("  wait ", "dim").append(f"≈{span(queue.estimated_wait_seconds)}")
    return text


def alert_line(picture: Picture) -> Text:
    """The gravest alert that lasts, and how many there are."""
    grave = sorted(picture.alerts, key=lambda alert: ("CRITICAL", "WARNING", "INFO").index(alert.level))
    if not grave:
        return Text()
    style = "bold red" if grave[0].level == "CRITICAL" else "yellow"
    more = f" (+{len(grave) - 1})" if len(grave) > 1 else ""
    return Text(f" ▲ {grave[0].message}{more}", style, no_wrap=True, overflow="ellipsis")
