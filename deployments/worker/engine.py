"""Prefect's flow engine, made fit to run many flows in one long-lived process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client.schemas.objects import State
from prefect.exceptions import Abort
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.results import ResultStore
from prefect.states import Cancelled, Crashed, Failed

from deployments.worker.outage import through_outages
from mof_benchmark.errors import MofsimError, StoppedError


@dataclass
class ResidentFlowEngine(AsyncFlowRunEngine[..., Any]):
    """Differs from Prefect's in four things.

    * A run's states are proposed until the server has taken them.
    * A run that was asked to stop ends Cancelled. (Prefect's engine calls a cancelled coroutine a
      crash; it is told from a crash only by a signal of the process runner.)
    * A failure is told by its code and detail; no exception is pickled into the storage.
    * There is no observer of suspensions: a thread, a loop and a websocket per run, which stall
      the loop for up to half a second. These flows cannot be suspended.
    """

    crash_reason: str | None = field(default=None)
    """Why the run is being given up, when that is not because somebody stopped it."""

    @property
    def heartbeat_seconds(self) -> int | None:
        """None: an attempt has its own heartbeat, and needs no thread per run for another."""
        return None

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Iterator[FlowRunSuspensionRequest]:
        yield self._flow_run_suspension_request

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        propose = super().set_state
        attempts = 0

        async def propose_once() -> State[Any]:
            nonlocal attempts
            attempts += 1
            try:
                return await propose(state, force)
            except Abort:
                # The answer to an earlier proposal was lost with the connection, not the proposal.
                if attempts > 1 and state.is_final():
                    return state
                raise

        return await through_outages(f"{state.name} of run {self.flow_run_name}", propose_once)

    async def handle_exception(
        self, exc: Exception, msg: str | None = None, result_store: ResultStore | None = None
    ) -> State[Any]:
        self._raised = exc
        if isinstance(exc, StoppedError):
            return await self.set_state(Cancelled(message=exc.detail))
        if isinstance(exc, MofsimError):
            return await self.set_state(Failed(message=f"{exc.message_en} ({exc.code}): {exc.detail}"))
        return await self.set_state(Failed(message=f"{msg or 'Flow failed:'} {exc}"))

    async def handle_crash(self, exc: BaseException) -> None:
        if self.crash_reason is not None:
            await self.set_state(Crashed(message=self.crash_reason))
        elif isinstance(exc, asyncio.CancelledError):
            await self.set_state(Cancelled(message="Stopped on request."))
        else:
            await super().handle_crash(exc)

    @property
    def flow_run_name(self) -> str:
        return self.flow_run.name if self.flow_run else "unknown"

    async def drive(self) -> None:
        """Run the flow to its end, as `prefect.flow_engine.run_flow_async` does."""
        async with AsyncExitStack() as started:
            # Both contexts question the server before anything else and can be entered again.
            await through_outages(
                f"the start of run {self.flow_run_name}", lambda: started.enter_async_context(self.start())
            )
            while self.is_running():
                async with AsyncExitStack() as running:
                    await through_outages(
                        f"run {self.flow_run_name}", lambda: running.enter_async_context(self.run_context())
                    )
                    await self.call_flow_fn()  # type: ignore[unused-coroutine]
