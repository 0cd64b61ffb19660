"""What can be known of a slot's device: a real GPU, the CPU, or a simulated GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psutil
import pynvml
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.database import Unavailable


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One look at a device; None where it cannot be known."""

    device: str
    memory_total_MB: float | None = None
    memory_free_MB: float | None = None
    memory_reclaimable_MB: float = 0.0
    """What this process holds and can give to a calculation: warm models, freed blocks."""
    temperature_C: float | None = None
    utilisation_percent: float | None = None
    simulated: bool = False
    ok: bool = True
    error: str | None = None


class Sensor(Protocol):
    """Looks at one device; never raises for what is wrong with it."""

    def read(self) -> Reading: ...


class CpuSensor:
    """A slot that computes on the CPU: its memory is the machine's."""

    def read(self) -> Reading:
        memory = psutil.virtual_memory()
        return Reading(
            device="cpu",
            memory_total_MB=memory.total / 1e6,
            memory_free_MB=memory.available / 1e6,
            memory_reclaimable_MB=psutil.Process().memory_info().rss / 1e6,
            utilisation_percent=psutil.cpu_percent(),
        )


class NvmlSensor:
    """An NVIDIA GPU, asked through the driver.

    Parameters
    ----------
    device
        Its index in the driver's (PCI bus) order, or its UUID.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._handle: Any = None

    def read(self) -> Reading:
        try:
            return self._read()
        except pynvml.NVMLError as error:
            # A GPU that fell off the bus, or a driver that was replaced: look afresh next time.
            self._handle = None
            return Reading(device=f"GPU {self._device}", ok=False, error=str(error))

    def _read(self) -> Reading:
        handle = self._handle or self._open()
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return Reading(
            device=pynvml.nvmlDeviceGetName(handle),
            memory_total_MB=memory.total / 1e6,
            memory_free_MB=memory.free / 1e6,
            memory_reclaimable_MB=_reserved_by_torch_MB(),
            temperature_C=_if_known(
                lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
            ),
            utilisation_percent=_if_known(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        )

    def _open(self) -> Any:
        pynvml.nvmlInit()
        self._handle = (
            pynvml.nvmlDeviceGetHandleByIndex(int(self._device))
            if self._device.isdecimal()
            else pynvml.nvmlDeviceGetHandleByUUID(self._device)
        )
        return self._handle


def _reserved_by_torch_MB() -> float:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0.0
    return float(torch.cuda.memory_reserved()) / 1e6


def _if_known(ask: Any) -> float | None:
    # Parts of a partitioned GPU, for one, tell no utilisation.
    try:
        return float(ask())
    except pynvml.NVMLError_NotSupported:
        return None


class Simulation(BaseModel):
    """What a simulated GPU shows; may be changed at any time over REST."""

    model_config = ConfigDict(extra="forbid")

    memory_total_MB: float = 80_000.0
    memory_free_MB: float = 78_000.0
    memory_reclaimable_MB: float = 0.0
    temperature_C: float = 40.0
    utilisation_percent: float = 0.0
    lost: bool = False
    driver_error: str | None = None


class SimulatedSensor:
    """A GPU that is not there, for trying scheduling and alerts without one.

    Parameters
    ----------
    look_up
        What was set to be shown, in the shape of `Simulation`; None: nothing.
    """

    def __init__(self, look_up: Callable[[], dict[str, Any] | None], gpu_id: int) -> None:
        self._look_up = look_up
        self._name = f"Simulated GPU {gpu_id}"
        self._shown: dict[str, Any] = {}

    def read(self) -> Reading:
        # A device shows what it does whether or not the database is there.
        with suppress(*Unavailable):
            self._shown = self._look_up() or {}
        try:
            shown = Simulation.model_validate(self._shown)
        except ValidationError as error:
            return Reading(device=self._name, simulated=True, ok=False, error=f"simulation: {error}")
        if shown.lost or shown.driver_error:
            error_text = shown.driver_error or "GPU is lost"
            return Reading(device=self._name, simulated=True, ok=False, error=error_text)
        return Reading(
            device=self._name,
            memory_total_MB=shown.memory_total_MB,
            memory_free_MB=shown.memory_free_MB,
            memory_reclaimable_MB=shown.memory_reclaimable_MB,
            temperature_C=shown.temperature_C,
            utilisation_percent=shown.utilisation_percent,
            simulated=True,
        )
