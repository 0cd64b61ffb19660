"""Whether one part works, asked from its own machine: what a container's health check runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import psycopg

from deployments.environment import basic_auth
from deployments.pulse import read_pulses
from deployments.stack.parts import MAINTENANCE_POOL, gateway_address
from deployments.stack.waiting import accepts
from mofsim_settings import Settings

_ANSWER_SECONDS = 5.0


def problem_of(settings: Settings, part: str, gpu_id: int | None = None) -> str | None:
    """What is wrong with a part; None when it works.

    A gateway, a Prefect server and a scheduler answer requests, PostgreSQL answers a query, the
    processes of a host and of a pool worker are alive and not frozen, a maintenance worker was heard
    of by Prefect within its heartbeat.
    """
    if part == "postgres":
        return _postgres_problem(settings)
    if part == "gateway":
        return _no_answer(settings, f"{gateway_address(settings)}/api/v1/health/live")
    if part == "prefect":
        return _no_answer(settings, f"{settings.prefect.api_url}/health")
    if part == "scheduler":
        if settings.dask.dashboard_url:
            return _no_answer(settings, f"{settings.dask.dashboard_url}/health")
        address = settings.dask.scheduler_address
        return None if accepts(address) else f"{address} takes no connection"
    if part == "host":
        return _silence(settings, settings.run_dir / "hosts", gpu_id, "worker", f"host of GPU {gpu_id}")
    if part == "worker":
        first = settings.compute.first_slot
        return _silence(settings, settings.run_dir / "pools", first, "pool", "pool worker")
    if part == "maintenance":
        return _maintenance_problem(settings)
    return f"there is no part {part!r}"


def _postgres_problem(settings: Settings) -> str | None:
    url = settings.database.url.get_secret_value()
    try:
        with psycopg.connect(url, connect_timeout=round(_ANSWER_SECONDS), autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        return f"the database does not answer: {error}"
    return None


def _no_answer(settings: Settings, url: str) -> str | None:
    try:
        answer = httpx.get(url, **_options(settings))
    except httpx.HTTPError as error:
        return f"{url} does not answer: {error}"
    return None if answer.is_success else f"{url} answers {answer.status_code}"


def _options(settings: Settings) -> dict[str, Any]:
    return {"timeout": _ANSWER_SECONDS, "trust_env": False, "verify": settings.prefect.verify}


def _silence(settings: Settings, folder: Path, gpu_id: int | None, role: str, name: str) -> str | None:
    for pulse, age_seconds in read_pulses(folder):
        if (pulse.gpu_id, pulse.role) == (gpu_id, role):
            late = age_seconds > settings.scheduling.lost_after_seconds
            return f"the {name} is silent for {age_seconds:.0f} s" if late else None
    return f"there is no {name}"


def _maintenance_problem(settings: Settings) -> str | None:
    url = f"{settings.prefect.api_url}/work_pools/{MAINTENANCE_POOL}/workers/filter"
    try:
        answer = httpx.post(url, json={}, auth=basic_auth(settings), **_options(settings))
        answer.raise_for_status()
    except httpx.HTTPError as error:
        return f"Prefect does not say: {error}"
    online = any(worker["status"] == "ONLINE" for worker in answer.json())
    return None if online else f"Prefect hears of no worker of the pool {MAINTENANCE_POOL}"
