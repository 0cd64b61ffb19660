"""The parts of an embedded stack: what runs, in which order it stops, what each needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from deployments.stack import postgres
from deployments.stack.errors import StackError
from mofsim_settings import Settings

NUMBER = "%(process_num)d"
"""Stands in a command for the number of one of several like programs, as Supervisor spells it."""
MAINTENANCE_POOL = "maintenance"
"""Work pool of the scheduled chores."""
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
    first: int = 0
    """Number of the first of `count` like programs."""
    stop_signal: str = "TERM"
    stop_wait_seconds: float = 10.0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log_name(self) -> str:
        return f"{self.name}-%(process_num)d.log" if self.count > 1 else f"{self.name}.log"


def all_parts(settings: Settings, *, with_postgres: bool, with_prefect: bool, with_dask: bool) -> list[Part]:
    """The parts of a stack; servers that the settings place elsewhere are left out."""
    parts = [keeper(), gateway(settings), pool_worker(settings), gpu_hosts(settings)]
    if settings.chores_scheduled:
        parts.append(maintenance_worker())
    if with_postgres:
        parts.append(postgres_server(settings))
    if with_prefect:
        parts.append(prefect_server(settings))
    if with_dask:
        parts.append(dask_scheduler(settings))
    return sorted(parts, key=lambda part: part.order)


def postgres_server(settings: Settings) -> Part:
    port = urlsplit(settings.database.url.get_secret_value()).port or 5432
    # The pools at their fullest, a few connections of each host, and room for people and chores.
    pools = 3 * settings.prefect.pool_size + 2 * settings.gateway.processes * settings.database.pool_size
    connections = 50 + pools + 4 * settings.compute.slots
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
    dask = settings.dask
    scheduler, dashboard = urlsplit(dask.scheduler_address), urlsplit(dask.dashboard_url)
    listen = dask.listen_host or scheduler.hostname
    return Part(
        name="scheduler",
        command=[
            *_module("distributed.cli.dask_scheduler"),
            *("--host", f"{scheduler.scheme}://{listen}:{scheduler.port}"),
            *(
                ("--dashboard-address", f"{dask.listen_host or dashboard.hostname}:{dashboard.port}")
                if dask.dashboard_url
                else ("--no-dashboard",)
            ),
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
        command=_module("deployments.hosts", "--gpu", NUMBER),
        order=40,
        count=len(settings.compute.local_slots),
        first=settings.compute.first_slot,
        environment={
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads),
            # Keep freed tensors in the process: 1.1 to 1.35 times faster force calls on a CPU.
            "MALLOC_MMAP_THRESHOLD_": "1073741824",
            "MALLOC_TRIM_THRESHOLD_": "1073741824",
        },
    )


def gateway(settings: Settings) -> Part:
    return Part(name="gateway", command=_module("api_gateway"), order=50, address=gateway_address(settings))


def gateway_address(settings: Settings) -> str:
    """Where this machine reaches its gateway."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.gateway.host, settings.gateway.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}"


def pool_worker(settings: Settings) -> Part:
    return Part(
        name="worker",
        command=_module("deployments.worker"),
        order=60,
        # On SIGTERM it takes no new run and waits for the running ones.
        stop_wait_seconds=settings.scheduling.shutdown_wait_seconds + 5.0,
    )


def maintenance_worker() -> Part:
    # Prefect's own process worker: a backup runs beside the stack, not inside one of its parts.
    return Part(
        name="maintenance",
        command=_module("deployments.maintenance"),
        order=65,
        environment={"PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false"},
    )


def single_part(settings: Settings, name: str, gpu_id: int | None = None) -> Part:
    """One part on its own, as a container or a unit starts it; a host with its slot's number.

    Raises
    ------
    StackError
        When there is no such part, or the settings lack an address it needs.
    """
    if name not in SINGLE_PARTS:
        raise StackError(f"There is no part {name!r}; there are: {', '.join(SINGLE_PARTS)}.")
    make, needed = SINGLE_PARTS[name]
    missing = [setting for setting, value in _addresses(settings).items() if setting in needed and not value]
    if missing:
        variables = ", ".join(f"MOFSIM_{setting.upper().replace('.', '__')}" for setting in missing)
        raise StackError(f"The part {name} needs {' and '.join(missing)} ({variables}).")
    part = make(settings)
    if (name == "host") != (gpu_id is not None):
        raise StackError("A host, and only a host, is started with --gpu NUMBER.")
    if gpu_id is not None and gpu_id not in settings.compute.local_slots:
        here = settings.compute.local_slots
        raise StackError(f"This machine has the slots {here.start} to {here.stop - 1}, not {gpu_id}.")
    return replace(part, command=[word.replace(NUMBER, str(gpu_id)) for word in part.command])


def _addresses(settings: Settings) -> dict[str, str]:
    return {
        "database.url": settings.database.url.get_secret_value(),
        "prefect.api_url": settings.prefect.api_url,
        "dask.scheduler_address": settings.dask.scheduler_address,
    }


def keeper() -> Part:
    # Stops first: it must not take an orderly end for a crash.
    return Part(name="keeper", command=_module("deployments.stack.keeper"), order=70, stop_signal="KILL")


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", name, *arguments]


SINGLE_PARTS: dict[str, tuple[Callable[[Settings], Part], tuple[str, ...]]] = {
    "gateway": (gateway, ("database.url", "prefect.api_url")),
    "worker": (pool_worker, ("database.url", "prefect.api_url", "dask.scheduler_address")),
    "host": (gpu_hosts, ("database.url", "prefect.api_url", "dask.scheduler_address")),
    "scheduler": (dask_scheduler, ("dask.scheduler_address",)),
    "prefect": (prefect_server, ("database.url", "prefect.api_url")),
    "maintenance": (lambda settings: maintenance_worker(), ("database.url", "prefect.api_url")),
}
"""Parts that run on their own, each with the addresses it needs."""
