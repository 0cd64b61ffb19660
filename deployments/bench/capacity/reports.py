"""What the reports of a GPU cost PostgreSQL: processor time of the server's process, a call."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.types.json import Jsonb

from deployments.backup.databases import embedded_server
from deployments.bench.reporting import running_task
from tasks.reporting import INTERVAL_SECONDS

CALLS = 2000
REPORT = {"ok": True, "current": {"task_id": "task_bench", "attempt": 1}, "warm_models": ["sevennet_prod"]}
PROGRESS = {
    "stage": "npt",
    "current_step": 1200,
    "total_steps": 50_000,
    "percentage": 2.4,
    "values": {"temperature_K": 301.2, "volume_A3": 3912.5, "energy_eV": -412.7},
}


def calls_a_second(heartbeat_seconds: float, report_seconds: float) -> dict[str, float]:
    """Calls of a GPU that computes without pause, as often as its parts make them.

    Parameters
    ----------
    heartbeat_seconds
        Of the flow (`scheduling.heartbeat_seconds`).
    report_seconds
        Of the slot (`deployments/hosts/control.py`).

    Notes
    -----
    An attempt reports as often as there is something new, at most every `INTERVAL_SECONDS`.
    """
    return {
        "slot_report": 1 / report_seconds,
        "attempt_heartbeat": 1 / heartbeat_seconds,
        "attempt_report": 1 / INTERVAL_SECONDS,
    }


def ms_a_call(home: Path) -> dict[str, dict[str, float]]:
    """Processor and wall time of each call, ms, on the database of a home whose stack is down."""
    with embedded_server(home) as url, psycopg.connect(url, autocommit=True) as connection:
        running_task(url)
        server = psutil.Process(connection.info.backend_pid)
        calls: dict[str, tuple[str, list[Any]]] = {
            "slot_report": ("SELECT slot_report(%s, %s, %s)", [0, "bench", Jsonb(REPORT)]),
            "attempt_heartbeat": ("SELECT attempt_heartbeat(%s, %s, %s)", ["task_bench", 1, "flow"]),
            "attempt_report": (
                "SELECT attempt_report(%s, %s, %s, %s)",
                ["task_bench", 1, Jsonb(PROGRESS), Jsonb([])],
            ),
        }
        return {name: _cost(connection, server, query, values) for name, (query, values) in calls.items()}


def _cost(
    connection: psycopg.Connection[Any], server: psutil.Process, query: str, values: list[Any]
) -> dict[str, float]:
    begun, before = time.perf_counter(), sum(server.cpu_times()[:2])
    for _ in range(CALLS):
        connection.execute(query.encode(), values)
    wall, spent = time.perf_counter() - begun, sum(server.cpu_times()[:2]) - before
    return {"cpu_ms": 1e3 * spent / CALLS, "wall_ms": 1e3 * wall / CALLS}
