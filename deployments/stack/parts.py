"""The parts of an embedded stack: what runs, in which order it stops, what each needs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from deployments.stack import postgres
from mofsim_settings import Settings

MARKER = "MOFSIM_STACK_HOME"
"""Environment variable that tells a stack's processes from all others."""


@dataclass(frozen=True)
class Part:
    """One program under Supervisor, or `count` like ones that differ by `%(process_num)d`."""

    name: str
    command: Sequence[str]
    order: int
    """Parts stop from the highest order to the lowest."""
    address: str = ""
    """Where it is reached, for people; its host and port answer once it is up."""
    count: int = 1
    stop_signal: str = "TERM"
    stop_wait_seconds: float = 10.0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log_name(self) -> str:
        return f"{self.name}-%(process_num)d.log" if self.count > 1 else f"{self.name}.log"


def all_parts(settings: Settings, *, with_postgres: bool, with_prefect: bool, with_dask: bool) -> list[Part]:
    """The parts of a stack; servers that the settings place elsewhere are left out."""
    parts = [keeper(), gateway(settings), pool_worker(settings), gpu_hosts(settings)]
    if with_postgres:
        parts.append(postgres_server(settings))
    if with_prefect:
        parts.append(prefect_server(settings))
    if with_dask:
        parts.append(dask_scheduler(settings))
    return sorted(parts, key=lambda part: part.order)


def postgres_server(settings: Settings) -> Part:
    port = urlsplit(settings.database.url.get_secret_value()).port or 5432
    # Each host and attempt keeps a few connections; Prefect takes 30 and the gateway its pool.
    connections = 100 + 4 * settings.compute.slots
    return Part(
        name="postgres",
        command=postgres.server_command(settings.home, port, connections),
        order=10,
        address=f"postgresql://127.0.0.1:{port}",
        stop_signal="INT",  # "fast shutdown": does not wait for clients to leave
        stop_wait_seconds=30.0,
    )


def prefect_server(settings: Settings) -> Part:
    return Part(
        name="prefect",
        command=_module("deployments.stack.prefect_server"),
        order=20,
        address=settings.prefect.ui_url or settings.prefect.api_url,
    )


def dask_scheduler(settings: Settings) -> Part:
    scheduler = urlsplit(settings.dask.scheduler_address)
    dashboard = urlsplit(settings.dask.dashboard_url)
    return Part(
        name="scheduler",
        command=[
            *_module("distributed.cli.dask_scheduler"),
            *("--host", f"tcp://{scheduler.hostname}:{scheduler.port}"),
            *("--dashboard-address", f"{dashboard.hostname}:{dashboard.port}"),
        ],
        order=30,
        stop_signal="KILL",  # it has nothing to save, and takes seconds to say farewell
        address=settings.dask.scheduler_address,
        # A stage whose worker died fails at once: the gateway decides what happens next.
        environment={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"},
    )


def gpu_hosts(settings: Settings) -> Part:
    threads = str(settings.compute.threads_per_host)
    return Part(
        name="host",
        command=_module("deployments.hosts", "--gpu", "%(process_num)d"),
        order=40,
        count=settings.compute.slots,
        environment={
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
            # Keep freed tensors in the process: 1.1 to 1.35 times faster force calls on a CPU.
            "MALLOC_MMAP_THRESHOLD_": "1073741824",
            "MALLOC_TRIM_THRESHOLD_": "1073741824",
        },
    )


def gateway(settings: Settings) -> Part:
    host = settings.gateway.host
    return Part(
        name="gateway",
        command=_module("api_gateway"),
        order=50,
        address=f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}",
    )


def pool_worker(settings: Settings) -> Part:
    return Part(
        name="worker",
        command=_module("deployments.worker"),
        order=60,
        # On SIGTERM it takes no new run and waits for the running ones.
        stop_wait_seconds=settings.scheduling.shutdown_wait_seconds + 5.0,
    )


def keeper() -> Part:
    # Stops first: it must not take an orderly end for a crash.
    return Part(name="keeper", command=_module("deployments.stack.keeper"), order=70, stop_signal="KILL")


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", name, *arguments]
