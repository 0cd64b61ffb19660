"""The rules (section 7.2 of the requirements): what is an alert, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mofsim_settings import Settings

CLEARED = ".cleared"
"""Ends the name of the event that tells the end of a condition."""


class Level(StrEnum):
    """CRITICAL is told at once, WARNING gathered, INFO recorded."""

    CRITICAL = "CRITICAL"
    WARNING = "WARNING"
    INFO = "INFO"


@dataclass(frozen=True)
class Rule:
    """One kind of alert.

    A value beyond `threshold` raises it; it is over when the value has come back to `clears_at`
    (hysteresis: a value that hovers around the threshold is one alert).
    """

    type: str
    level: Level
    event: str | None
    """Name of the event that Prefect's automation expects; None: Prefect is not asked."""
    text_en: str
    text_zh: str
    """Message of an alert; `{subject}` and `{value}` are filled in."""
    threshold: float = 0.0
    clears_at: float = 0.0
    side: Literal["above", "below"] = "above"
    unit: str = ""

    @property
    def automation(self) -> str | None:
        """Name of Prefect's automation, by which operators find it."""
        return None if self.event is None else f"mofsim: {self.type}"

    def holds(self, value: float, raised: bool) -> bool:
        """Whether the condition holds, given whether it did before."""
        if self.side == "above":
            return value > (self.clears_at if raised else self.threshold)
        return value < (self.clears_at if raised else self.threshold)

    def message(self, language: Literal["en", "zh"], subject: str, value: float) -> str:
        text = self.text_zh if language == "zh" else self.text_en
        return text.format(subject=subject, value=f"{value:.4g}")


def rules(settings: Settings) -> dict[str, Rule]:
    """Every rule by its type, with the thresholds of the settings."""
    alerts = settings.alerts
    every = [
        Rule(
            "gpu_lost",
            Level.CRITICAL,
            "mofsim.gpu.lost",
            "{subject} is lost or its driver fails",
            "{subject} 设备丢失或驱动错误",
        ),
        Rule(
            "gpu_memory_low",
            Level.WARNING,
            "mofsim.gpu.memory-low",
            "{subject} is short of memory: {value} GB free",
            "{subject} 可用显存不足: {value}GB",
            alerts.gpu_memory_free_GB,
            max(alerts.gpu_memory_clear_GB, alerts.gpu_memory_free_GB),
            "below",
            "GB",
        ),
        Rule(
            "gpu_temperature_high",
            Level.WARNING,
            "mofsim.gpu.temperature-high",
            "{subject} is hot: {value} °C",
            "{subject} 温度过高: {value}°C",
            alerts.gpu_temperature_C,
            min(alerts.gpu_temperature_clear_C, alerts.gpu_temperature_C),
            unit="°C",
        ),
        Rule(
            "queue_backlog",
            Level.WARNING,
            "mofsim.queue.backlog",
            "{value} tasks are waiting",
            "任务队列积压: {value} 个任务等待中",
            alerts.queued_tasks,
            min(alerts.queued_tasks_clear, alerts.queued_tasks),
            unit="tasks",
        ),
        Rule(
            "task_failures",
            Level.WARNING,
            "mofsim.model.failing",
            "The last {value} tasks of {subject} failed",
            "{subject} 连续失败 {value} 次",
            alerts.model_failures,
            0,
            unit="failures in a row",
        ),
        Rule(
            "disk_space_low",
            Level.WARNING,
            "mofsim.disk.space-low",
            "The disk of {subject} is short of space: {value} GB free",
            "{subject} 磁盘可用空间不足: {value}GB",
            alerts.disk_free_GB,
            max(alerts.disk_clear_GB, alerts.disk_free_GB),
            "below",
            "GB",
        ),
        Rule(
            "api_slow",
            Level.WARNING,
            "mofsim.api.slow",
            "Requests are slow: the 99th percentile is {value} s",
            "服务响应超时: P99 为 {value} 秒",
            alerts.api_p99_seconds,
            min(alerts.api_p99_clear_seconds, alerts.api_p99_seconds),
            unit="s",
        ),
        Rule(
            "worker_offline",
            Level.CRITICAL,
            "mofsim.worker.offline",
            "{subject} has been silent for {value} s",
            "{subject} 离线: {value} 秒没有心跳",
            alerts.worker_silent_seconds,
            alerts.worker_silent_seconds,
            unit="s",
        ),
        Rule(
            "results_expiring",
            Level.WARNING,
            "mofsim.results.expiring",
            "{value} results will be cleared away soon",
            "{value} 个任务结果即将到期清理",
            unit="results",
        ),
        Rule(
            "chore_failed",
            Level.WARNING,
            "mofsim.chore.failed",
            "The chore {subject} failed, or did not start at its hour",
            "维护作业 {subject} 失败或未按时开始",
        ),
        Rule(
            "orchestrator_offline",
            Level.CRITICAL,
            None,
            "{subject} has not answered for {value} s: tasks are accepted, but none can start",
            "{subject} 已 {value} 秒无响应: 任务仍可提交, 但无法开始",
            alerts.worker_silent_seconds,
            alerts.worker_silent_seconds,
            unit="s",
        ),
    ]
    return {rule.type: rule for rule in every}
