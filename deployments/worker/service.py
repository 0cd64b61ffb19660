"""The pool worker's process: a worker per pool, one client, one look at everything they share."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import suppress
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.context import AsyncClientContext

from deployments.prefect_setup import ensure, ensure_slots, pool_name
from deployments.pulse import Pulse, tell_systemd
from deployments.worker.host_guard import HostGuard
from deployments.worker.leftovers import OPEN_STATES, close_runs, runs_in, was_left
from deployments.worker.model_validator import ModelValidator
from deployments.worker.notifications import listen
from deployments.worker.outage import is_outage, through_outages
from deployments.worker.pool import ResidentWorker
from deployments.worker.run import ActiveRun
from mofsim_settings import Settings
from tasks.attempt import FlowServices
from tasks.database import ReportDatabase, Unavailable

LOOK_SECONDS = 3.0
CONNECTIONS = 4
GIVING_UP_SECONDS = 4.0
PULSE_SECONDS = 1.0

_log = logging.getLogger(__name__)


class WorkerService:
    """Serves all pools of this machine until `stop` is called."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._identity = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
        self._database = ReportDatabase(settings.database.url.get_secret_value(), connections=CONNECTIONS)
        self._guard = HostGuard(settings, self._database)
        self._validator = ModelValidator(settings, self._database, self._identity)
        given = FlowServices(settings, self._database, self._guard.kill, asyncio.Event())
        self._workers = {
            pool: ResidentWorker(
                pool, name=f"{socket.gethostname()} {pool}", identity=self._identity, given=given
            )
            for pool in (pool_name(gpu) for gpu in settings.compute.local_slots)
        }

    def stop(self) -> None:
        """Drain: take no more runs and end when the present ones have, or time is up."""
        self._stopping.set()

    async def serve(self) -> None:
        pulse = asyncio.create_task(self._pulse())
        # Prefect's client refuses to start while the server is away.
        await through_outages("the pool worker", self._reach_server)
        # One client for everything in this process; it is also what makes calls patient.
        async with AsyncClientContext.get_or_create() as context:
            client = context.client
            set_up = ensure if self._settings.compute.first_slot == 0 else ensure_slots
            await through_outages("the pool worker", lambda: set_up(self._settings, client))
            await through_outages("closing leftovers", lambda: self._close_leftovers(client))
            helpers = [
                asyncio.create_task(self._listen()),
                asyncio.create_task(self._watch_prefect(context)),
                asyncio.create_task(self._guard.watch()),
                asyncio.create_task(self._validator.watch()),
                asyncio.create_task(self._beat()),
            ]
            serving = [asyncio.create_task(worker.serve()) for worker in self._workers.values()]
            _log.info("Serving %d pools as %s", len(self._workers), self._identity)
            await self._stopping.wait()
            self._validator.stop()
            await self._drain()
            await asyncio.wait(serving, timeout=5)
            for task in (*helpers, *serving, pulse):
                task.cancel()
            await asyncio.gather(*helpers, *serving, pulse, return_exceptions=True)
        with suppress(*Unavailable):
            self._database.worker_left(socket.gethostname(), os.getpid())
        self._database.close()

    async def _close_leftovers(self, client: PrefectClient) -> None:
        """End what an earlier process of this machine held; of what it claimed last Prefect may not know."""
        runs = await runs_in(client, list(self._workers), (StateType.SCHEDULED, *OPEN_STATES))
        claimants = await asyncio.to_thread(self._database.claimants, [run.id for run in runs])
        await close_runs(client, [run for run in runs if was_left(run, claimants.get(run.id))])

    async def _reach_server(self) -> None:
        async with httpx.AsyncClient(verify=self._settings.prefect.verify) as http:
            (await http.get(f"{self._settings.prefect.api_url}/health")).raise_for_status()

    async def _drain(self) -> None:
        patience = self._settings.scheduling.shutdown_wait_seconds
        closing = [asyncio.create_task(worker.close(patience)) for worker in self._workers.values()]
        await asyncio.wait(closing, timeout=patience + GIVING_UP_SECONDS)

    async def _beat(self) -> None:
        """Say that this process lives, and that its loop turns."""
        while True:
            with suppress(*Unavailable):
                await asyncio.to_thread(self._database.worker_heartbeat, socket.gethostname(), os.getpid())
            await asyncio.sleep(self._settings.scheduling.heartbeat_seconds)

    async def _pulse(self) -> None:
        """The same for whoever watches on this machine, also while the database is away."""
        folder = self._settings.run_dir / "pools"
        pulse = Pulse.of_this_process(self._settings.compute.first_slot, "pool")
        pulse.begin(folder)
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            with suppress(OSError):
                pulse.beat(folder)
                tell_systemd()

    async def _listen(self) -> None:
        await listen(
            self._settings.database.url.get_secret_value(),
            {
                "mofsim_pool": self._wake,
                "mofsim_attempt": self._stop_attempt,
                "mofsim_model": lambda _: self._validator.wake(),
            },
            connected=self._wake_all,
        )

    async def _watch_prefect(self, context: AsyncClientContext) -> None:
        """Find what no notification told: runs that wait, and runs cancelled in Prefect's UI."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                waiting = await runs_in(
                    context.client, list(self._workers), (StateType.SCHEDULED, StateType.CANCELLING)
                )
            except Exception as error:
                if not is_outage(error):
                    _log.exception("Looking for runs failed")
                continue
            for flow_run in waiting:
                if flow_run.state is not None and flow_run.state.is_cancelling():
                    for run in self._active():
                        if run.flow_run.id == flow_run.id:
                            run.stop("cancelled in Prefect")
                elif flow_run.work_pool_name in self._workers:
                    self._workers[flow_run.work_pool_name].tell(flow_run.id, None)

    def _active(self) -> list[ActiveRun]:
        return [run for worker in self._workers.values() for run in worker.active.values()]

    def _wake(self, payload: str) -> None:
        pool, *news = payload.split(" ", 2)
        if pool not in self._workers:
            return
        match news:
            case []:
                self._workers[pool].wake()
            case [flow_run_id]:
                self._workers[pool].tell(UUID(flow_run_id), None)
            case [flow_run_id, document]:
                self._workers[pool].tell(UUID(flow_run_id), FlowRun.model_validate_json(document))

    def _wake_all(self) -> None:
        for worker in self._workers.values():
            worker.wake()

    def _stop_attempt(self, key: str) -> None:
        for run in self._active():
            if run.key == key:
                run.stop("the task was cancelled or timed out")
