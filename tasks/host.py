"""What a stage finds in the process it runs in: warm models, the database, its slot."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from distributed import get_worker

from mof_benchmark.calculators.cache import ModelCache, release_memory
from mof_benchmark.calculators.context import failure_of
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.schemas import CalculationRequest
from mofsim_logs import LogFiles
from mofsim_settings import Settings
from tasks.database import ReportDatabase
from tasks.failures import HostLostError

if TYPE_CHECKING:
    # A nanny, which only names the plugin, need not load Prefect.
    from prefect.context import SyncClientContext

PLUGIN_NAME = "mofsim-host"
"""Name of the Dask worker plugin that holds the host."""

COMPUTING_NICENESS = 5

Device = Literal["cpu", "cuda"]


@dataclass
class Host:
    """One GPU slot's process. One stage, load or unload at a time holds the device."""

    gpu_id: int
    settings: Settings
    database: ReportDatabase
    models: ModelCache
    device: Device
    prefect: SyncClientContext
    """Prefect's task engine takes the client it finds here. Where it finds none it makes two per
    stage, and each reads all certificates of the machine first."""
    log_files: LogFiles
    """The files that a task's log goes to besides the database."""
    free_memory_MB: Callable[[], float | None] = lambda: None
    """Free memory of the device, as its sensor sees it."""
    current: CalculationRequest | None = None
    """The attempt whose stage is here, waiting for the device or computing."""
    warm_models: tuple[str, ...] = ()
    """Names of the loaded models; unlike the cache itself it never waits for one that loads."""
    broken: str | None = None
    """Why nothing can be computed in this process any more; it ends as soon as that has been told."""
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def load(self, name: str) -> Potential:
        """Load a model, or take the warm one; only for whoever holds the device."""
        try:
            return self.models.load(name, device=self.device)
        finally:
            self.warm_models = tuple(self.models.names())

    def unload(self, name: str) -> None:
        """Drop a model; only for whoever holds the device."""
        self.models.unload(name)
        self.warm_models = tuple(self.models.names())

    def make_room(self, request: CalculationRequest) -> None:
        """Drop the models that `request` does not use where its memory asks for it.

        Only for whoever holds the device.
        """
        if self._has_room(request):
            return
        release_memory()
        if not self._has_room(request):
            self.models.keep_only(request.model)
            self.warm_models = tuple(self.models.names())

    def _has_room(self, request: CalculationRequest) -> bool:
        needed, free = request.memory_estimate_MB, self.free_memory_MB()
        return not request.empty_gpu and (needed is None or free is None or needed <= free)

    def examine(self) -> None:
        """After a failure of the device: see whether it still computes."""
        self.broken = failure_of(self.device)

    @contextmanager
    def computing(self, request: CalculationRequest, wait: Callable[[], None]) -> Iterator[None]:
        """Hold the device for a stage; `wait` is called while it is busy and may raise.

        Raises
        ------
        HostLostError
            When the device is lost to this process, which is about to be replaced.
        """
        self.current = request
        try:
            while not self._busy.acquire(timeout=0.2):
                wait()
            try:
                if self.broken is not None:
                    raise HostLostError(self.broken)
                _step_back()
                yield
            finally:
                self._busy.release()
        finally:
            self.current = None

    @contextmanager
    def idle(self) -> Iterator[bool]:
        """Hold the device for a load or unload, if it is free now: says whether it is."""
        free = self._busy.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._busy.release()


def _step_back() -> None:
    """Where processors are short, the parts that answer come before the thread that computes."""
    if sys.platform == "linux":
        # There a thread has a priority of its own; the host's other threads keep theirs.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), COMPUTING_NICENESS)


def this_host() -> Host:
    """The host whose Dask worker runs the calling stage."""
    return cast(Host, get_worker().plugins[PLUGIN_NAME].host)
