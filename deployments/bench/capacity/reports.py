"""What a GPU costs the servers by being there: its reports to PostgreSQL, its pool's questions to Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from psycopg.types.json import Jsonb

from deployments.backup.databases import embedded_server
from deployments.bench.reporting import running_task
from deployments.prefect_setup import pool_name
from deployments.stack import supervision
from mofsim_settings import Settings
from tasks.reporting import INTERVAL_SECONDS

CALLS = 2000
QUESTIONS = 100
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
        return {
            name: _cost(server, CALLS, partial(connection.execute, query.encode(), values))
            for name, (query, values) in calls.items()
        }


def _cost(server: psutil.Process, times: int, call: Callable[[], object]) -> dict[str, float]:
    """Mean processor time of a server for a call, and the time from call to answer."""
    begun, before = time.perf_counter(), sum(server.cpu_times()[:2])
    for _ in range(times):
        call()
    wall, spent = time.perf_counter() - begun, sum(server.cpu_times()[:2]) - before
    return {"cpu_ms": 1e3 * spent / times, "wall_ms": 1e3 * wall / times}


def prefects_ms_a_call(settings: Settings) -> dict[str, dict[str, float]]:
    """Processor and wall time of what the worker of one pool asks Prefect from time to time, ms.

    It is the time of Prefect's own process in the running stack; what PostgreSQL spends for it comes on top.
    """
    (server,) = [psutil.Process(s.pid) for s in supervision.states(settings.home) if s.name == "prefect"]
    pool = f"/work_pools/{pool_name(0)}"
    calls: dict[str, tuple[str, str, dict[str, Any] | None]] = {
        "the pool is read": ("GET", pool, None),
        "its worker lives": ("POST", f"{pool}/workers/heartbeat", {"name": "bench"}),
        "its queues are asked": ("POST", f"{pool}/get_scheduled_flow_runs", {}),
    }
    with httpx.Client(base_url=settings.prefect.api_url, timeout=60.0) as client:

        def ask(method: str, path: str, body: dict[str, Any] | None) -> None:
            client.request(method, path, json=body).raise_for_status()

        return {name: _cost(server, QUESTIONS, partial(ask, *words)) for name, words in calls.items()}
