"""The Prefect worker of one pool: takes its runs one at a time and runs them in this process."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import anyio.abc
from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort, ObjectNotFound
from prefect.states import Crashed
from prefect.utilities.engine import propose_state
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from deployments.prefect_setup import WORKER_TYPE, load_flow
from deployments.worker.outage import through_outages
from deployments.worker.run import ActiveRun
from mof_benchmark.schemas import CalculationRequest
from tasks.attempt import FlowServices

SYNC_SECONDS = 30.0
RESTART_SECONDS = 1.0
REMEMBERED_RUNS = 1000

_log = logging.getLogger(__name__)


class ResidentWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Runs flow runs as coroutines of its own process.

    Parameters
    ----------
    pool
        Name of the work pool.
    name
        Name in Prefect's UI.
    identity
        `host:pid:boot`, by which this process claims attempts: how the next process recognizes
        runs of one that died.
    given
        What flows get from this process.
    """

    type = WORKER_TYPE
    _description = "Runs flows inside one long-lived process, their stages on resident GPU hosts."

    def __init__(self, pool: str, *, name: str, identity: str, given: FlowServices) -> None:
        super().__init__(work_pool_name=pool, name=name, limit=1, create_pool_if_not_found=False)
        self.active: dict[UUID, ActiveRun] = {}
        self._identity = identity
        self._given = given
        self._flows: dict[UUID, Flow[..., Any]] = {}
        self._woken = asyncio.Event()
        self._told: dict[UUID, FlowRun | None] = {}
        self._begun: deque[UUID] = deque(maxlen=REMEMBERED_RUNS)
        self._asking = True
        self._closing = False
        self._runs: set[asyncio.Task[None]] = set()

    @property
    def pool(self) -> str:
        return self._work_pool_name

    @property
    def busy(self) -> bool:
        """Whether a run of this pool still needs the device."""
        return any(not run.computed for run in self.active.values())

    def wake(self) -> None:
        """There may be runs for this pool; only its queues know which."""
        self._asking = True
        self._woken.set()

    def tell(self, flow_run_id: UUID, flow_run: FlowRun | None) -> None:
        """This run waits for the pool; where that is known, it looks like this."""
        # Prefect calls a run waiting until it has heard that it runs.
        if flow_run_id not in self._begun:
            self._told[flow_run_id] = flow_run
            self._woken.set()

    async def serve(self) -> None:
        """Poll whenever woken, and keep the pool's worker known to Prefect, until `close`.

        Nothing that goes wrong ends it: Prefect's own loops give up after twelve failed polls.
        """
        while not self._closing:
            try:
                async with self:
                    await self._poll_until_failure()
            except Exception as error:
                _log.warning("Pool %s starts again: %s", self.pool, error)
                await asyncio.sleep(RESTART_SECONDS)

    async def _poll_until_failure(self) -> None:
        loop = asyncio.get_running_loop()
        synced = loop.time()
        while not self._closing:
            self._woken.clear()
            if not self.busy:
                await self._take_next()
            try:
                async with asyncio.timeout(SYNC_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                self._asking = True
            if loop.time() - synced >= SYNC_SECONDS:
                await self.sync_with_backend()
                synced = loop.time()

    async def close(self, patience_seconds: float) -> None:
        """Take no more runs; give the present one some time, then up, for another start."""
        self._closing = True
        self.wake()
        if self._runs:
            await asyncio.wait(self._runs, timeout=patience_seconds)
        self._given.closing.set()
        for run in self.active.values():
            run.stop("the pool worker was shut down", crash=True)
        if self._runs:
            await asyncio.wait(self._runs)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration | None = None,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> BaseWorkerResult:
        """Run a flow run that this worker holds, to its end."""
        active = self.active[flow_run.id]
        await active.drive(await self._flow_of(flow_run), computed=self._woken.set)
        return BaseWorkerResult(identifier=self._identity, status_code=0)

    async def _setup_cancellation_observer(self) -> None:
        """Leave cancelling to the service, which watches the runs of all pools at once."""

    async def _take_next(self) -> None:
        if len(self._told) == 1 and not self._asking:
            # A single run needs no question about queues and limits, which costs the server most.
            flow_run_id, known = self._told.popitem()
            flow_run = known or await self.client.read_flow_run(flow_run_id)
            if flow_run.state is not None and flow_run.state.is_scheduled():
                self._begin(flow_run)
        elif self._told or self._asking:
            await self._take_first()

    async def _take_first(self) -> None:
        """Begin the run that the pool's queues put first; with one still closing there is none."""
        told, self._asking = list(self._told), bool(self.active)
        for response in await self._get_scheduled_flow_runs():
            if self._begin(response.flow_run):
                return
        if not self.active:
            # Whatever was told is not waiting any more.
            for flow_run_id in told:
                self._told.pop(flow_run_id, None)

    def _begin(self, flow_run: FlowRun) -> bool:
        if flow_run.id in self._begun:
            return False
        try:
            request = CalculationRequest.model_validate(flow_run.parameters["request"])
        except (KeyError, ValueError) as error:
            _log.warning("Run %s is not one of the gateway's: %s", flow_run.id, error)
            self._keep(asyncio.create_task(self._give_up(flow_run, "not a request of the gateway")))
            return False
        self._begun.append(flow_run.id)
        self._told.pop(flow_run.id, None)
        self.active[flow_run.id] = ActiveRun(flow_run, request, self._given)
        # Not in the worker's own task group, which ends with a lost connection to the server.
        self._keep(asyncio.create_task(self._run_and_release(flow_run)))
        return True

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)

    async def _run_and_release(self, flow_run: FlowRun) -> None:
        try:
            active = self.active[flow_run.id]
            if not await self._claim(active):
                _log.info("Run %s was not ours to run", flow_run.name)
                return
            async with active.kept_alive():
                if active.stop_reason is None:
                    await self.run(flow_run)
                else:
                    await self._give_up(flow_run, active.stop_reason)
        except Abort as error:
            # The server has another state for the run, such as Cancelled: that one holds.
            _log.info("Run %s was not ours to run: %s", flow_run.name, error)
        except Exception as error:
            _log.exception("Run %s broke", flow_run.name)
            await self._give_up(flow_run, f"the worker failed: {error}")
        finally:
            del self.active[flow_run.id]
            self._woken.set()

    async def _claim(self, active: ActiveRun) -> bool:
        """Take the run's attempt in the database; says whether it is ours.

        Prefect is told while the stage is on its way. Where the task was stopped meanwhile, this claim or
        the stage's next report is refused.
        """
        claim = partial(self._given.database.claim, active.request, self._identity)
        answer = await through_outages(f"the claim of {active.key}", lambda: asyncio.to_thread(claim))
        if answer == "stop":
            active.stop("the task was cancelled or timed out")
        return answer != "fenced"

    async def _give_up(self, flow_run: FlowRun, reason: str) -> None:
        """End a run that could not be run, unless it has ended."""

        async def crash() -> None:
            present = await self.client.read_flow_run(flow_run.id)
            if present.state is None or not present.state.is_final():
                await propose_state(self.client, Crashed(message=reason), flow_run_id=flow_run.id)

        with suppress(Abort, ObjectNotFound):
            await through_outages(f"Crashed of {flow_run.name}", crash)

    async def _flow_of(self, flow_run: FlowRun) -> Flow[..., Any]:
        deployment_id = flow_run.deployment_id
        if deployment_id is None:
            raise ValueError("the run belongs to no deployment")
        if deployment_id not in self._flows:
            deployment = await through_outages(
                f"the deployment of {flow_run.name}", lambda: self.client.read_deployment(deployment_id)
            )
            if deployment.entrypoint is None:
                raise ValueError(f"deployment {deployment.name} names no entry point")
            self._flows[deployment_id] = load_flow(deployment.entrypoint)
        return self._flows[deployment_id]
