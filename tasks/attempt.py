"""One attempt of a task, as its flow sees it in the pool worker."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.artifacts import acreate_image_artifact, acreate_markdown_artifact
from prefect.logging import get_run_logger

from mof_benchmark.errors import MofsimError, NotConvergedError, StoppedError
from mof_benchmark.schemas import CalculationRequest, CalculationResult
from mofsim_settings import Settings
from tasks.dask_runner import StageHandle, submit_stage
from tasks.database import ReportDatabase, Unavailable
from tasks.failures import ReplacedError, error_document, named
from tasks.fan_out import idle_gpus, spread
from tasks.files import file_documents, left_files
from tasks.stage import work_folders
from tasks.summary import main_plot, summary_table

P = ParamSpec("P")
R = TypeVar("R")

RETRY_SECONDS = 0.5
SHOW_AFTER_SECONDS = 0.3
"""The run's end goes to Prefect's server first."""
KEEP_SECONDS = 1.5
"""Longest that the end of an attempt waits for its files to be registered: a stop must end soon."""


@dataclass(frozen=True)
class FlowServices:
    """What the pool worker gives the flows it runs."""

    settings: Settings
    database: ReportDatabase
    kill_host: Callable[[int, str], Awaitable[None]]
    """Kill the host of a GPU, for a reason; its nanny brings it back."""
    closing: asyncio.Event
    """Set when this process is about to end: its runs are given up for another attempt."""
    computed: Callable[[], None] = lambda: None
    """To be called when the last stage is over: the next run may begin."""


_log = logging.getLogger(__name__)

services: ContextVar[FlowServices] = ContextVar("mofsim_flow_services")

_gpus_in_use: Counter[int] = Counter()
"""GPUs with an attempt of this process, between its stages too."""

_beside: set[asyncio.Task[None]] = set()
"""What goes on beside the flows; the event loop itself keeps no task alive."""


class Attempt:
    """Runs stages on the attempt's GPU and stores how it ends."""

    def __init__(self, request: CalculationRequest, given: FlowServices) -> None:
        self.request = request
        self.stage: str | None = None
        self._settings = given.settings
        self._database = given.database
        self._kill_host = given.kill_host
        self._closing = given.closing
        self._computed = given.computed
        self._result_stored = False

    async def run(self, stage: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a stage to its end on the attempt's GPU, or take it from an earlier attempt.

        Raises
        ------
        MofsimError
            What the stage raised; `HostLostError` when the host died under it.
        """
        self.stage = stage.name
        return await self._run_on(self.request.gpu_id, stage, *args, **kwargs)

    async def run_each(
        self, stage: Task[[CalculationRequest, int], R], request: CalculationRequest, numbers: range
    ) -> list[R]:
        """Run a stage once for each number, under a name of its own, and return what each gave.

        One after the other on the attempt's GPU, or on idle ones too where the settings allow it.

        Raises
        ------
        MofsimError
            As `run`.
        """
        stages = [stage.with_options(name=f"{stage.name}-{number}") for number in numbers]
        if not self._settings.scheduling.spread_over_idle_gpus:
            return [
                await self.run(part, request, number) for part, number in zip(stages, numbers, strict=True)
            ]

        async def run(gpu_id: int, place: int) -> R:
            self.stage = stages[place].name
            return await self._run_on(gpu_id, stages[place], request, numbers[place])

        async def is_idle(gpu_id: int) -> bool:
            return not _gpus_in_use[gpu_id] and gpu_id in await idle_gpus()

        own = self.request.gpu_id
        others = [gpu_id for gpu_id in await idle_gpus() if gpu_id != own]
        return await spread(len(stages), own, others, run, is_idle)

    async def _run_on(self, gpu_id: int, stage: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        scheduling = self._settings.scheduling
        patience = scheduling.lost_after_seconds + scheduling.cancel_grace_seconds
        handle = await submit_stage(stage, gpu_id, patience, *args, **kwargs)
        try:
            await handle.wait_on_a_host(patience)
        except asyncio.CancelledError:
            await self._leave(handle, gpu_id)
            raise
        result: R = await handle.result()
        return result

    async def finish(self, result: CalculationResult) -> None:
        """Store the result and register its files; the flow has nothing to do afterwards.

        Raises
        ------
        NotConvergedError
            When the request insists on convergence; the result is stored all the same.
        ReplacedError
            When a newer attempt has taken over.
        """
        self._computed()
        files = await asyncio.to_thread(
            file_documents,
            result.output_files,
            work_folders(self._settings, self.request),
            self._settings.storage_root,
        )
        document = result.model_dump(mode="json")
        answer = await self._insist(self._database.result, document, files)
        if answer == "fenced":
            raise ReplacedError("A newer attempt has taken over.")
        self._result_stored = True
        # Only for people to look at: the run's end does not wait for it.
        _go_on_beside(self._show(result))
        if self.request.require_convergence and not result.converged:
            raise NotConvergedError("The calculation did not converge; its result is kept.")

    async def fail(self, error: Exception) -> MofsimError:
        """Store why the attempt failed; answers the error by our name for it."""
        known = named(error)
        await self._insist(self._database.error, dict(error_document(known, self.stage)))
        return known

    async def keep_files(self) -> None:
        """Register the files of an attempt that ends without a result.

        Where that takes long it goes on beside the attempt's end, and it changes nothing about it.
        """
        if self._result_stored or self._closing.is_set():
            return
        keeping = _go_on_beside(self._register_files())
        # Even a stop that comes now finds an attempt that is ending.
        with suppress(asyncio.CancelledError):
            await asyncio.wait([keeping], timeout=KEEP_SECONDS)

    async def _register_files(self) -> None:
        folders = work_folders(self._settings, self.request)
        try:
            files = await asyncio.to_thread(left_files, folders, self._settings.storage_root)
            if files:
                await self._insist(self._database.files, files)
        except Exception as error:
            _log.warning("The files of %s could not be registered: %s", self.request.task_id, error)

    async def _insist(self, write: Callable[..., str], *documents: Any) -> str:
        """Write to the database however long it is away: what was computed must not be lost."""
        while True:
            try:
                return await asyncio.to_thread(write, self.request, *documents)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def _leave(self, handle: StageHandle, gpu_id: int) -> None:
        """See a stopped stage off: it ends at its next step, or its host is killed.

        Only then is the device free for another attempt.
        """
        if self._closing.is_set():
            return
        try:
            if await handle.is_on_a_host():
                async with asyncio.timeout(self._settings.scheduling.cancel_grace_seconds):
                    await handle.wait()
        except TimeoutError:
            await self._kill_host(gpu_id, "a stopped stage did not answer")
        finally:
            await handle.forget()

    async def _show(self, result: CalculationResult) -> None:
        """Show the result in Prefect's UI, as far as Prefect is there."""
        await asyncio.sleep(SHOW_AFTER_SECONDS)
        try:
            await acreate_markdown_artifact(
                summary_table(self.request, result),
                key=f"{self.request.task_type}-result",
                description=f"{self.request.structure.name}, {self.request.model}",
            )
            workdirs = work_folders(self._settings, self.request)
            plot = await asyncio.to_thread(main_plot, result, workdirs)
            if plot is not None:
                await acreate_image_artifact(
                    plot,
                    key=f"{self.request.task_type}-plot",
                    description=f"{self.request.structure.name}, {self.request.model}",
                )
        except Exception as error:
            get_run_logger().warning("The result's artifact could not be stored: %s", error)


def _go_on_beside(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    _beside.add(task)
    task.add_done_callback(_beside.discard)
    return task


@asynccontextmanager
async def attempt_of(request: CalculationRequest) -> AsyncIterator[Attempt]:
    """The attempt a flow run is; a failure inside is stored before it is raised, and so are its files."""
    attempt = Attempt(request, services.get())
    _gpus_in_use[request.gpu_id] += 1
    try:
        yield attempt
    except ReplacedError:
        raise
    except (StoppedError, asyncio.CancelledError):
        await attempt.keep_files()
        raise
    except Exception as error:
        known = await attempt.fail(error)
        await attempt.keep_files()
        raise known from None
    finally:
        _gpus_in_use[request.gpu_id] -= 1
