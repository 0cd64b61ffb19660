"""Prefect's flow engine, made fit to run many flows in one long-lived process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.context import AsyncClientContext, FlowRunContext, hydrated_context
from prefect.exceptions import Abort
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.logging.loggers import flow_run_logger
from prefect.results import ResultStore, get_result_store
from prefect.states import Cancelled, Crashed, Failed, Running

from deployments.worker.outage import through_outages
from mof_benchmark.errors import MofsimError, StoppedError
from tasks.failures import ReplacedError


@dataclass
class ResidentFlowEngine(AsyncFlowRunEngine[..., Any]):
    """Differs from Prefect's in six things.

    * A run's states are proposed until the server has taken them.
    * The flow begins while the server still notes that it runs: claimed in our database, the run is
      nobody else's. The run's end is proposed only after that answer, which may also be a refusal.
    * What the worker knows of the run is neither read again nor rewritten (Prefect's engine stores a
      policy of retries and reads the run once more: two calls of seven).
    * A run that was asked to stop ends Cancelled. (Prefect's engine calls a cancelled coroutine a
      crash; it is told from a crash only by a signal of the process runner.)
    * A failure is told by its code and detail; no exception is pickled into the storage.
    * There is no observer of suspensions: a thread, a loop and a websocket per run, which stall
      the loop for up to half a second. These flows cannot be suspended.
    """

    crash_reason: str | None = field(default=None)
    """Why the run is being given up, when that is not because somebody stopped it."""
    _announcement: asyncio.Task[None] | None = field(default=None, init=False)
    """Tells the server that the run runs; unless it has been answered, no other state is proposed."""

    @property
    def heartbeat_seconds(self) -> int | None:
        """None: an attempt has its own heartbeat, and needs no thread per run for another."""
        return None

    @contextmanager
    def setup_flow_run_suspension_request(self) -> Iterator[FlowRunSuspensionRequest]:
        yield self._flow_run_suspension_request

    @asynccontextmanager
    async def initialize_run(self) -> AsyncIterator[ResidentFlowEngine]:
        async with AsyncClientContext.get_or_create() as context:
            self._client, self._is_started = context.client, True
            try:
                with hydrated_context():
                    yield self
            except (Abort, Exception, GeneratorExit):
                raise
            except BaseException as error:
                # What comes after the run's end, such as a stop that is too late, changes nothing.
                if not self.state.is_final():
                    await self.handle_crash(error)
                    raise
            finally:
                self._client, self._is_started = None, False

    async def begin_run(self) -> State[Any]:
        running: State[None] = Running()
        self._announcement = asyncio.create_task(self._announce(running, asyncio.current_task()))
        self._adopt(running)
        return running

    @asynccontextmanager
    async def setup_run_context(self, client: PrefectClient | None = None) -> AsyncIterator[None]:
        if self.flow_run is None:
            raise ValueError("there is no run")
        with (
            self.flow.task_runner.duplicate() as task_runner,
            FlowRunContext(
                flow=self.flow,
                flow_run=self.flow_run,
                parameters=self.parameters,
                client=client or self.client,
                result_store=await get_result_store().aupdate_for_flow(self.flow),
                task_runner=task_runner,
                persist_result=False,
                log_prints=False,
                flow_run_suspension_request=self._flow_run_suspension_request,
            ),
        ):
            self.logger = flow_run_logger(self.flow_run, self.flow)  # type: ignore[assignment]
            yield

    async def set_state(self, state: State[Any], force: bool = False) -> State[Any]:
        if self._announcement is not None:
            await asyncio.shield(self._announcement)
        return await self._propose(state, force)

    async def _announce(self, running: State[Any], flow: asyncio.Task[Any] | None) -> None:
        """Tell the server that the run runs; a flow that may not run is ended."""
        try:
            state = await self._propose(running)
            if not state.is_running():
                raise Abort(f"The server holds the run {state.name}.")
        except BaseException:
            if flow is not None:
                flow.cancel()
            raise

    def _adopt(self, state: State[Any]) -> None:
        if self.flow_run is not None:
            self.flow_run.state, self.flow_run.state_type = state, state.type
            self.flow_run.state_name = state.name

    async def _propose(self, state: State[Any], force: bool = False) -> State[Any]:
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
        if isinstance(exc, ReplacedError):
            # As when the run's own heartbeat is told so first.
            return await self.set_state(Crashed(message=exc.detail))
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
        async with self.start():
            while self.is_running():
                async with self.run_context():
                    await self.call_flow_fn()  # type: ignore[unused-coroutine]
