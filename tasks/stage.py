"""What every stage shares: how it persists, where it works, how it fails."""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import ase.io
from ase import Atoms
from prefect import Task, get_run_logger, task
from prefect.context import TaskRunContext

from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError, StoppedError
from mof_benchmark.schemas import CalculationRequest
from mofsim_settings import Settings
from tasks.failures import DeviceError, named
from tasks.host import Host, this_host
from tasks.reporting import AttemptReporter

P = ParamSpec("P")
R = TypeVar("R")


def stage(function: Callable[P, R]) -> Task[P, R]:
    """Make a function of `(request, …)` a stage of a flow.

    Its result is kept by Prefect in the task's own folder, by the stage's name: a later attempt of
    the same task finds it there. Trying again is the gateway's, so there are no retries.
    """
    return task(
        name=function.__name__,
        persist_result=True,
        result_serializer="json",
        cache_key_fn=_stage_name,
        retries=0,
    )(function)


def _stage_name(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    return str(context.task.name)


def stages_folder(settings: Settings, request: CalculationRequest) -> Path:
    """Persisted stage results and checkpoints, shared by all attempts of a task."""
    return settings.storage_root / "results" / request.task_id / "stages"


def work_folders(settings: Settings, request: CalculationRequest) -> list[Path]:
    """Output files of each attempt, that of the present one first."""
    task = settings.storage_root / "results" / request.task_id
    return [task / str(attempt) for attempt in range(request.attempt, 0, -1)]


@dataclass(frozen=True)
class Work:
    """What a stage computes with."""

    host: Host
    request: CalculationRequest
    monitor: AttemptReporter
    workdir: Path
    checkpoints: Path

    def calculator(self) -> MeteredCalculator:
        """The request's model with the dispersion it asks for, warm if it was used lately.

        Raises
        ------
        ModelError
            When the model cannot be loaded here.
        """
        name = self.request.model
        if name not in self.host.warm_models:
            self.monitor.log("INFO", f"Loading model {name}.", model=name)
        return MeteredCalculator(self.host.load(name), with_d3=self.request.parameters.get("with_d3"))

    def read_structure(self) -> Atoms:
        """Read the structure of the request, and be sure that it is the one that was asked for.

        Raises
        ------
        InvalidFileError
            When the file is gone, unreadable or another one.
        """
        structure = self.request.structure
        try:
            content = (self.host.settings.storage_root / structure.path).read_bytes()
        except OSError as error:
            raise InvalidFileError(f"{structure.name} is no longer in the storage.") from error
        if hashlib.sha256(content).hexdigest() != structure.sha256:
            raise InvalidFileError(f"{structure.name} is not the file that was submitted.")
        return cast(Atoms, ase.io.read(io.StringIO(content.decode()), format="extxyz"))


@contextmanager
def working(request: CalculationRequest, name: str) -> Iterator[Work]:
    """Hold this host's device for stage `name` of an attempt, and report on it.

    Raises
    ------
    MofsimError
        Any failure inside the block, by our name for it.
    """
    host = this_host()
    scheduling = host.settings.scheduling
    reporter = AttemptReporter(
        host.database,
        request,
        heartbeat_seconds=scheduling.heartbeat_seconds,
        patience_seconds=scheduling.lost_after_seconds,
        also=get_run_logger().log,
        files=host.log_files,
    )
    started = time.monotonic()
    with reporter as monitor:
        try:
            with host.computing(request, monitor.raise_if_stopped):
                workdir = work_folders(host.settings, request)[0]
                checkpoints = stages_folder(host.settings, request)
                workdir.mkdir(parents=True, exist_ok=True)
                checkpoints.mkdir(parents=True, exist_ok=True)
                host.make_room(request)
                monitor.log("INFO", f"Stage {name} begins on GPU {host.gpu_id}.", stage=name)
                yield Work(host, request, monitor, workdir, checkpoints)
        except Exception as error:
            logging.getLogger(__name__).info("Stage %s of %s failed", name, request.task_id, exc_info=True)
            known = named(error)
            if isinstance(known, DeviceError):
                host.examine()
            level = "INFO" if isinstance(known, StoppedError) else "ERROR"
            monitor.log(level, f"Stage {name} ended: {known.detail}", stage=name, code=known.code)
            raise known from None
        seconds = round(time.monotonic() - started, 3)
        monitor.log("INFO", f"Stage {name} took {seconds} s.", stage=name, seconds=seconds)
