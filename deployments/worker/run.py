"""One flow run in this process: kept alive, driven, stopped at most once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun

from deployments.worker.engine import ResidentFlowEngine
from mof_benchmark.schemas import CalculationRequest
from tasks.attempt import FlowServices, services
from tasks.database import Unavailable
from tasks.stage import stages_folder

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class ActiveRun:
    """A flow run from the moment it was taken until its end is known to Prefect."""

    flow_run: FlowRun
    request: CalculationRequest
    given: FlowServices
    stop_reason: str | None = None
    computed: bool = False
    """Its stages are over and the device is free: what is left is telling of it."""
    _engine: ResidentFlowEngine | None = None
    _task: asyncio.Task[None] | None = field(default=None)

    @property
    def key(self) -> str:
        return f"{self.request.task_id}:{self.request.attempt}"

    async def drive(self, flow: Flow[..., Any], *, computed: Callable[[], None]) -> None:
        """Run the flow; returns when it ended, whichever way.

        Parameters
        ----------
        computed
            Called once `computed` is true.
        """

        def note() -> None:
            self.computed = True
            computed()

        services.set(replace(self.given, computed=note))
        # Named here, results need no question to the server about where they go: Prefect's engine
        # asks it in the event loop, without awaiting. The stages inherit the place.
        place = stages_folder(self.given.settings, self.request)
        self._engine = ResidentFlowEngine(
            flow=flow.with_options(result_storage=place, persist_result=False),
            flow_run=self.flow_run,
            parameters={"request": self.request},
        )
        # The engine is a task of its own, so that it can be cancelled without this one.
        self._task = asyncio.create_task(self._engine.drive(), name=f"flow run {self.key}")
        if self.stop_reason is not None:
            self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    @asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Go on telling the database that this process has the run it claimed."""
        heartbeat = asyncio.create_task(self._heartbeat())
        try:
            yield
        finally:
            heartbeat.cancel()

    def stop(self, reason: str, *, crash: bool = False) -> None:
        """Ask the run to end, once: a second cancellation would cut short the first one's work.

        With `crash` the run ends Crashed instead of Cancelled, and the gateway tries it again.
        """
        if self.stop_reason is not None:
            return
        self.stop_reason = reason
        _log.info("Run %s stops: %s", self.key, reason)
        if self._engine is not None and crash:
            self._engine.crash_reason = reason
        if self._task is not None:
            self._task.cancel()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self.given.settings.scheduling.heartbeat_seconds)
            with suppress(*Unavailable):
                answer = await asyncio.to_thread(self.given.database.heartbeat, self.request, "flow")
                if answer == "stop":
                    self.stop("the task was cancelled or timed out")
                elif answer == "fenced":
                    self.stop("a newer attempt has taken over", crash=True)
