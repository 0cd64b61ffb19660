"""What the gateway counts itself; the processes behind one port count together (`sharing`)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()
"""Apart from the library's default one, so that nothing else appears in it."""

_API_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
_TASK_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)

api_seconds = Histogram(
    "mofsim_api_request_seconds",
    "Time to the first byte of an answer.",
    ("method", "route", "status"),
    registry=REGISTRY,
    buckets=_API_BUCKETS,
)
log_lines = Counter("mofsim_log_lines", "Log lines of this process.", ("kind", "level"), registry=REGISTRY)
placement_round_seconds = Histogram(
    "mofsim_placement_round_seconds",
    "Time of one round of placement: picture, decision, commit.",
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
placements = Counter(
    "mofsim_placements",
    "Tasks bound to a GPU.",
    ("gpu", "model_warm", "bound_ahead"),
    registry=REGISTRY,
)
webhook_attempts = Counter(
    "mofsim_webhook_attempts", "Tries of webhook deliveries.", ("event", "outcome"), registry=REGISTRY
)
webhook_seconds = Histogram(
    "mofsim_webhook_seconds", "Time to a webhook receiver's answer.", registry=REGISTRY, buckets=_API_BUCKETS
)
task_wait_seconds = Histogram(
    "mofsim_task_wait_seconds",
    "Time from submission to the first start, of tasks that ended.",
    ("task_type", "priority"),
    registry=REGISTRY,
    buckets=_TASK_BUCKETS,
)
task_run_seconds = Histogram(
    "mofsim_task_run_seconds",
    "Time from the first start to the end.",
    ("task_type", "model", "status"),
    registry=REGISTRY,
    buckets=_TASK_BUCKETS,
)
