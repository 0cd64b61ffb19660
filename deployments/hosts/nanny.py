"""Keeps a slot's Dask worker alive: over its crashes, and over those of the scheduler."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from contextlib import suppress

import dask
import distributed.utils
from distributed import Nanny

from deployments.hosts.plugin import HostPlugin
from deployments.pulse import Pulse, tell_systemd
from mofsim_settings import load_settings

RESTART_SECONDS = 0.5

PRELOADED = (
    "torch",
    "prefect.task_engine",
    "prefect.context",
    "distributed",
    "deployments.hosts.plugin",
    "tasks.dask_runner",
    "tasks.stage",
    "mof_benchmark.calculators.loading",
    "mof_benchmark.calculations.optimization",
)
"""What takes a host's worker seconds to import."""

_log = logging.getLogger(__name__)


async def keep_host(gpu_id: int, nvml_device: str, stopping: asyncio.Event) -> None:
    """Serve a slot until told to stop."""
    _start_workers_by_forking()
    pulse = asyncio.create_task(_beat(gpu_id))
    stop = asyncio.create_task(stopping.wait())
    while not stopping.is_set():
        try:
            async with _make_nanny(gpu_id, nvml_device) as nanny:
                finished = asyncio.create_task(nanny.finished())
                await asyncio.wait({finished, stop}, return_when=asyncio.FIRST_COMPLETED)
                finished.cancel()
        except Exception as error:
            _log.warning("The host of GPU %d starts again: %s", gpu_id, error or type(error).__name__)
        if not stopping.is_set():
            await asyncio.sleep(RESTART_SECONDS)
    pulse.cancel()


def _start_workers_by_forking() -> None:
    """Have workers forked from a process that has imported everything and done nothing else.

    A worker that died is back in less than a second instead of five, and when the scheduler dies,
    and all workers with it, the machine is not busy with imports for a minute.
    """
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    multiprocessing.set_forkserver_preload(list(PRELOADED))
    # Dask would replace the list by its own, and import pandas here to find out what is there.
    distributed.utils._forkserver_preload_set = True


def _make_nanny(gpu_id: int, nvml_device: str) -> Nanny:
    settings = load_settings()
    dask.config.set(
        {
            # Dask's defaults would trim the freed memory that a force call is about to ask for.
            "distributed.nanny.pre-spawn-environ": {},
            "distributed.comm.timeouts.connect": f"{settings.dask.connect_timeout_seconds}s",
        }
    )
    return Nanny(
        settings.dask.scheduler_address,
        name=f"gpu-{gpu_id}",
        nthreads=1,
        resources={f"GPU-{gpu_id}": 1},
        # Whether a stage fits is the gateway's to judge; Dask would pause or kill it half way.
        memory_limit=0,
        local_directory=str(settings.run_dir / "dask"),
        plugins=(HostPlugin(gpu_id, nvml_device),),
    )


async def _beat(gpu_id: int) -> None:
    pulse, folder = Pulse.of_this_process(gpu_id, "nanny"), load_settings().run_dir / "hosts"
    pulse.begin(folder)
    while True:
        await asyncio.sleep(1.0)
        with suppress(OSError):
            pulse.beat(folder)
            tell_systemd()
