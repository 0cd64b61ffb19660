"""Whether one part works, asked from its own machine: what a container's health check runs."""

from __future__ import annotations

from typing import Any

import httpx

from deployments.environment import basic_auth
from deployments.pulse import read_pulses
from deployments.stack.parts import MAINTENANCE_POOL, gateway_address
from deployments.stack.waiting import accepts
from mofsim_settings import Settings

_ANSWER_SECONDS = 5.0


def problem_of(settings: Settings, part: str, gpu_id: int | None = None) -> str | None:
    """What is wrong with a part; None when it works.

    A gateway and a Prefect server answer requests, a scheduler accepts connections, a host's
    process is alive and not frozen, a pool worker was heard of by Prefect within its heartbeat.
    """
    if part == "gateway":
        return _no_answer(settings, f"{gateway_address(settings)}/api/v1/health/live")
    if part == "prefect":
        return _no_answer(settings, f"{settings.prefect.api_url}/health")
    if part == "scheduler":
        address = settings.dask.scheduler_address
        return None if accepts(address) else f"{address} takes no connection"
    if part == "host":
        return _host_problem(settings, gpu_id)
    if part in ("worker", "maintenance"):
        pool = MAINTENANCE_POOL if part == "maintenance" else f"gpu-{settings.compute.first_slot}"
        return _worker_problem(settings, pool)
    return f"there is no part {part!r}"


def _no_answer(settings: Settings, url: str) -> str | None:
    try:
        answer = httpx.get(url, **_options(settings))
    except httpx.HTTPError as error:
        return f"{url} does not answer: {error}"
    return None if answer.is_success else f"{url} answers {answer.status_code}"


def _options(settings: Settings) -> dict[str, Any]:
    return {"timeout": _ANSWER_SECONDS, "trust_env": False, "verify": settings.prefect.verify}


def _host_problem(settings: Settings, gpu_id: int | None) -> str | None:
    for pulse, age_seconds in read_pulses(settings.run_dir / "hosts"):
        if (pulse.gpu_id, pulse.role) == (gpu_id, "worker"):
            late = age_seconds > settings.scheduling.lost_after_seconds
            return f"the host of GPU {gpu_id} is silent for {age_seconds:.0f} s" if late else None
    return f"there is no host of GPU {gpu_id}"


def _worker_problem(settings: Settings, pool: str) -> str | None:
    url = f"{settings.prefect.api_url}/work_pools/{pool}/workers/filter"
    try:
        answer = httpx.post(url, json={}, auth=basic_auth(settings), **_options(settings))
        answer.raise_for_status()
    except httpx.HTTPError as error:
        return f"Prefect does not say: {error}"
    online = any(worker["status"] == "ONLINE" for worker in answer.json())
    return None if online else f"Prefect hears of no worker of the pool {pool}"
