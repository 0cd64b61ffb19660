"""Turns a Dask worker into the host of a GPU slot."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from distributed import Status, WorkerPlugin

from deployments.hosts.control import Control
from deployments.hosts.sensors import CpuSensor, NvmlSensor, Sensor, SimulatedSensor
from mof_benchmark.calculators.cache import ModelCache
from mofsim_logs import log_to_files
from mofsim_settings import Settings, load_settings
from tasks.database import ReportDatabase
from tasks.host import PLUGIN_NAME, Device, Host
from tasks.models import ModelCards

if TYPE_CHECKING:
    from prefect.context import SyncClientContext


DRIVER = Path("/proc/driver/nvidia/version")
PR_SET_PDEATHSIG = 1
"""Of `prctl(2)`, which Python does not know."""


class HostPlugin(WorkerPlugin):
    """Set up before the worker takes its first stage.

    Parameters
    ----------
    gpu_id
        The slot.
    nvml_device
        The driver's index or UUID of its GPU.
    """

    name = PLUGIN_NAME

    def __init__(self, gpu_id: int, nvml_device: str) -> None:
        self._gpu_id = gpu_id
        self._nvml_device = nvml_device

    def setup(self, worker: Any) -> None:
        _end_with_parent()
        settings = load_settings()
        log_files = log_to_files(settings.log_dir, gpu_id=self._gpu_id)
        device = choose_device(settings)
        database = ReportDatabase(settings.database.url.get_secret_value(), connections=3)
        sensor = self._sensor(settings, device, database)
        self.host = Host(
            gpu_id=self._gpu_id,
            settings=settings,
            database=database,
            models=ModelCache(
                settings.compute.warm_models_per_gpu,
                models_dir=settings.models_dir,
                find_card=ModelCards(database, settings.storage_root),
            ),
            device=device,
            prefect=open_prefect_client(),
            log_files=log_files,
            free_memory_MB=lambda: sensor.read().memory_free_MB,
        )
        self.control = Control(
            self.host,
            sensor,
            boot_id=uuid4().hex,
            dask_address=worker.address,
            connected=lambda: worker.status is Status.running,
            pulses=settings.run_dir / "hosts",
        )
        self.control.start()

    def teardown(self, worker: Any) -> None:
        self.control.stop()
        if self.host.current is not None:
            # Dask would wait for a stage whose result nobody can receive any more, for as long as it
            # computes or half a minute; the slot's next worker waits for this one's end.
            os._exit(1)
        self.host.database.close()

    def _sensor(self, settings: Settings, device: Device, database: ReportDatabase) -> Sensor:
        if settings.compute.simulated:
            return SimulatedSensor(lambda: database.slot_simulation(self._gpu_id), self._gpu_id)
        return NvmlSensor(self._nvml_device) if device == "cuda" else CpuSensor()


def _end_with_parent() -> None:
    """Have the kernel kill this process when the one that it was forked from dies.

    The nanny learns of its worker through that one: it would start a second worker beside this.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def open_prefect_client() -> SyncClientContext:
    """A client of Prefect that stays open however often the context is entered and left."""
    # Not above: the nanny loads this module too, and would load Prefect for nothing.
    from prefect.context import SyncClientContext

    context = SyncClientContext()
    context.client.__enter__()
    return context


def choose_device(settings: Settings, *, driver: Path = DRIVER) -> Device:
    """Import torch, bound to its threads, and say what it will compute on.

    Raises
    ------
    RuntimeError
        When the settings insist on CUDA and there is none, or leave the choice and there should be
        one: a slot whose GPU is gone must not go on as a slow one.
    """
    # Here rather than with the first stage: it takes seconds.
    import torch

    torch.set_num_threads(settings.compute.threads_per_host)
    if settings.compute.device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if settings.compute.device == "cuda":
        raise RuntimeError("The settings ask for CUDA, but torch finds no GPU.")
    if torch.version.cuda is not None and driver.exists() and not settings.compute.simulated:
        raise RuntimeError("The driver of an NVIDIA GPU is loaded, but torch finds none for this slot.")
    return "cpu"
