"""Stages go to the resident GPU hosts over one Dask client per process.

prefect-dask's own runner makes a client per flow run, connects in the event loop's thread and
would close it with the run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import dask
import distributed
from prefect import Task
from prefect.client.schemas.objects import State
from prefect.context import SettingsContext, get_settings_context
from prefect_dask import DaskTaskRunner
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import PrefectDaskFuture

from mofsim_settings import load_settings
from tasks.failures import HostLostError, SchedulerLostError
from tasks.host import this_host

LOOK_SECONDS = 5.0
"""How often a stage that takes long is looked for on the hosts."""
RETRY_SECONDS = 0.5
ANSWER_SECONDS = 10.0
"""Longest wait for the scheduler's answer: a frozen one must not hold a flow up."""

_connecting = threading.Lock()


def _on_host(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with this_host().prefect:
        return call(*args, **kwargs)


class _HostClient(distributed.Client):
    """Runs what is submitted with its host's client of Prefect, under a readable key."""

    def submit(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> distributed.Future:
        kwargs["key"] = f"{kwargs['task'].name}-{kwargs['task_run_id']}"
        return super().submit(_on_host, func, *args, **kwargs)


class StageClient(PrefectDaskClient, _HostClient):
    """Submits stages: prefect-dask makes a Prefect task a call, `_HostClient` sends it."""


def stage_client() -> StageClient:
    """The process's client, connected; blocks while it connects, so call it in a thread.

    Raises
    ------
    SchedulerLostError
        When the scheduler cannot be reached.
    """
    with _connecting:
        # Dask keeps the register: the client made here is the process's default one.
        try:
            client = cast(StageClient, distributed.default_client())
        except ValueError:
            client = None
        if client is not None and client.status == "running":
            return client
        if client is not None:
            client.close(timeout=1)
        settings = load_settings().dask
        try:
            return StageClient(
                settings.scheduler_address,
                timeout=settings.connect_timeout_seconds,
                set_as_default=True,
                name="mofsim-pool-worker",
            )
        except (OSError, TimeoutError) as error:
            raise SchedulerLostError("The Dask scheduler cannot be reached.") from error


class ResidentDaskTaskRunner(DaskTaskRunner):
    """A task runner on the process's shared client."""

    @property
    def client(self) -> StageClient:
        return stage_client()

    def duplicate(self) -> ResidentDaskTaskRunner:
        return type(self)()


class StageHandle:
    """A submitted stage.

    Parameters
    ----------
    future
        What submitting gave.
    """

    def __init__(self, future: PrefectDaskFuture[Any]) -> None:
        self._future = future
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._future.wrapped_future.add_done_callback(self._finished)

    def _finished(self, _: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._done.set)

    async def wait(self) -> None:
        """Wait for the end of the stage, whatever it is, without blocking the loop."""
        await self._done.wait()

    async def wait_on_a_host(self, patience_seconds: float) -> None:
        """Wait for the end of the stage, but not for ever when no host takes it or one has lost it.

        Raises
        ------
        HostLostError
            When no host has had the stage for `patience_seconds`.
        """
        seen_at = self._loop.time()
        while not self._done.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._done.wait()
                    break
            if await self.is_on_a_host():
                seen_at = self._loop.time()
            elif self._loop.time() - seen_at > patience_seconds and not self._done.is_set():
                await self.forget()
                raise HostLostError("No GPU host takes the stage.")

    async def result(self) -> Any:
        """What the finished stage returned.

        Raises
        ------
        MofsimError
            What the stage raised.
        HostLostError
            When its worker died.
        SchedulerLostError
            When the scheduler died or forgot it.
        """
        try:
            outcome = await asyncio.to_thread(self._read)
            return await outcome.aresult() if isinstance(outcome, State) else outcome
        finally:
            # A finished stage that stays referenced may be computed again when its worker dies
            # (https://github.com/PrefectHQ/prefect/issues/15442).
            self._future.wrapped_future.release()

    async def is_on_a_host(self) -> bool:
        """Whether a Dask worker has taken the stage, as far as the scheduler knows."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                processing = await asyncio.to_thread(lambda: stage_client().processing())
        except (OSError, TimeoutError, SchedulerLostError):
            return True
        return any(self._future.wrapped_future.key in keys for keys in processing.values())

    async def forget(self) -> None:
        """Take the stage back: what is forgotten is neither begun nor begun again elsewhere."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                await asyncio.to_thread(self._future.wrapped_future.cancel)

    def _read(self) -> Any:
        # Dask's own errors are caught here, in the thread: some derive from CancelledError, which
        # in the event loop would look as if the flow itself had been cancelled.
        try:
            return self._future.wrapped_future.result(timeout=60)
        except distributed.KilledWorker:
            raise HostLostError("The GPU host died during the stage.") from None
        except BaseException as error:
            raise SchedulerLostError(f"The stage was lost ({type(error).__name__}).") from None


class _SettingsOfTheHost(SettingsContext):
    """Prefect's settings, which a stage takes from its host's environment instead of from us.

    Writing ours down costs 45 ms a stage here, and rebuilding them 100 ms there.
    """

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        return {}


def _submit(stage: Task[..., Any], gpu_id: int, parameters: tuple[Any, ...]) -> PrefectDaskFuture[Any]:
    present = get_settings_context()
    with (
        _SettingsOfTheHost(profile=present.profile, settings=present.settings),
        dask.annotate(resources={f"GPU-{gpu_id}": 1}),
    ):
        return stage.submit(*parameters)


async def submit_stage(
    stage: Task[..., Any], gpu_id: int, patience_seconds: float, *parameters: Any
) -> StageHandle:
    """Give a stage to the host of a GPU.

    Raises
    ------
    SchedulerLostError
        When the scheduler cannot be reached for `patience_seconds`.
    """
    deadline = asyncio.get_running_loop().time() + patience_seconds
    while True:
        # Submitting may connect, and serializes the call: both would stall the other flows' loop.
        submitting = asyncio.create_task(asyncio.to_thread(_submit, stage, gpu_id, parameters))
        try:
            return StageHandle(await asyncio.shield(submitting))
        except asyncio.CancelledError:
            # The thread cannot be stopped: what it still submits is for nobody.
            submitting.add_done_callback(_take_back)
            raise
        except SchedulerLostError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(RETRY_SECONDS)


def _take_back(submitting: asyncio.Task[PrefectDaskFuture[Any]]) -> None:
    if not submitting.cancelled() and submitting.exception() is None:
        future = submitting.result().wrapped_future
        threading.Thread(target=future.cancel, daemon=True).start()
