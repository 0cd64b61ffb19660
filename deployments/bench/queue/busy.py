"""How busy many slots are kept with short tasks: the benchmark plays their hosts and pool workers.

Real: placement, follower, database and its functions, and with Prefect the whole gateway process,
the Prefect server, its events. Played: what a slot computes (it sleeps), its reports, and the pool
worker's calls to Prefect, which are the real worker's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import psutil
import psycopg
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Running
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from deployments.bench.queue.figures import Figure
from deployments.bench.queue.parts import GATEWAY_PROGRAM, gateway_program, process, servers
from deployments.bench.queue.slots import slot_document
from deployments.prefect_setup import JOB_TEMPLATE, POOL_LIMIT, QUEUES, WORKER_TYPE, pool_name
from deployments.stack.parts import Part
from mof_benchmark.schemas import CalculationRequest, TaskType
from mofsim_settings import Settings

GOAL_PERCENT = 90.0
WARM_UP_SECONDS = 20.0
PATIENCE_SECONDS = 600.0
CONNECTIONS = 16

_UNATTENDED = Part(
    name="unattended",
    command=[*GATEWAY_PROGRAM, "unattended"],
    order=0,
)

Tell = Callable[[str, UUID, StateType], Coroutine[Any, Any, None]]
"""Makes a state of a run known."""


async def measure(*, slots: int, task_seconds: float, seconds: float, with_prefect: bool) -> list[Figure]:
    """Keep `slots` busy for a while and say how busy they were."""
    with servers(slots, with_prefect=with_prefect) as settings:
        async with AsyncExitStack() as running:
            if with_prefect:
                prefect = await running.enter_async_context(PrefectClient(settings.prefect.api_url))
                await _make_pools(prefect, slots)
            else:
                running.enter_context(process(_UNATTENDED, settings))
            pool = AsyncConnectionPool(
                settings.database.url.get_secret_value(),
                min_size=CONNECTIONS,
                max_size=CONNECTIONS,
                kwargs={"autocommit": True},
                open=False,
            )
            await running.enter_async_context(pool)
            tell = _by_prefect(prefect) if with_prefect else _by_notification(pool)
            played = PlayedSlots(settings, pool, tell, task_seconds)
            return await _watch(played, settings, seconds, with_prefect=with_prefect)


async def _watch(
    played: PlayedSlots, settings: Settings, seconds: float, *, with_prefect: bool
) -> list[Figure]:
    slots, task_seconds = settings.compute.slots, played.task_seconds
    work = asyncio.create_task(played.run())
    try:
        enough = int(1.2 * slots * (seconds + WARM_UP_SECONDS) / task_seconds)
        await asyncio.to_thread(gateway_program, settings, "submit", str(enough))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await played.all_have_worked.wait()
        await asyncio.sleep(WARM_UP_SECONDS)
        begin, processor = time.monotonic(), psutil.cpu_times()
        await asyncio.sleep(seconds)
        end, idle = time.monotonic(), psutil.cpu_times().idle - processor.idle
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    busy = played.busy_seconds(begin, end)
    rate = busy / task_seconds / (end - begin)
    idle_percent = 100 * idle / (end - begin) / (psutil.cpu_count() or 1)
    road = "with the Prefect server" if with_prefect else "the Prefect server left out"
    what = f"{slots} slots, {task_seconds:g} s tasks, {road}"
    note = (
        f"real gateway {'and Prefect server' if with_prefect else 'placement and follower'}, real database; "
        f"slots and pool workers played by the benchmark; {idle_percent:.0f} % of the processors idle"
    )
    return [
        Figure(
            f"{what}: kept busy",
            100 * busy / slots / (end - begin),
            "%",
            at_least=None if with_prefect else GOAL_PERCENT,
            note=note,
        ),
        Figure(f"{what}: tasks", rate, "1/s", note=note),
        Figure(f"{what}: slots that this rate keeps {GOAL_PERCENT:g} % busy", rate * task_seconds / 0.9, ""),
    ]


class PlayedSlots:
    """The pool worker and the hosts of all slots, without anything that computes.

    Parameters
    ----------
    tell
        How the states of runs become known.
    task_seconds
        How long a task holds its slot.
    """

    def __init__(
        self, settings: Settings, pool: AsyncConnectionPool, tell: Tell, task_seconds: float
    ) -> None:
        self.task_seconds = task_seconds
        self._settings = settings
        self._pool = pool
        self._tell = tell
        self._devices: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._current: dict[int, CalculationRequest] = {}
        self._intervals: list[tuple[float, float]] = []
        self.all_have_worked = asyncio.Event()

    def busy_seconds(self, begin: float, end: float) -> float:
        """Seconds of all slots together that were spent on tasks, within a window."""
        return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in self._intervals)

    async def run(self) -> None:
        """Take every run that placement makes."""
        url = self._settings.database.url.get_secret_value()
        async with (
            await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
            asyncio.TaskGroup() as work,
        ):
            await connection.execute("LISTEN mofsim_pool")
            work.create_task(self._report_slots())
            async for note in connection.notifies():
                _, flow_run_id, document = note.payload.split(" ", 2)
                request = CalculationRequest.model_validate(json.loads(document)["parameters"]["request"])
                work.create_task(self._play(request, UUID(flow_run_id)))

    async def _play(self, request: CalculationRequest, flow_run_id: UUID) -> None:
        key = f"{request.task_id}:{request.attempt}"
        attempt = (request.task_id, request.attempt)
        async with self._devices[request.gpu_id]:
            await self._call("SELECT attempt_claim(%s, %s, 'bench')", *attempt)
            announcing = asyncio.create_task(self._tell(key, flow_run_id, StateType.RUNNING))
            self._current[request.gpu_id] = request
            start = time.monotonic()
            await self._call("SELECT attempt_report(%s, %s, NULL, %s)", *attempt, Jsonb(_lines(request)))
            await asyncio.sleep(max(0.0, self.task_seconds - (time.monotonic() - start)))
            self._intervals.append((start, time.monotonic()))
            if len(self._devices) == self._settings.compute.slots:
                self.all_have_worked.set()
            self._current.pop(request.gpu_id, None)
        await self._call("SELECT attempt_result(%s, %s, '{}', '[]')", *attempt)
        await announcing
        await self._tell(key, flow_run_id, StateType.COMPLETED)

    async def _report_slots(self) -> None:
        """Report each slot once a second, evenly spread."""
        slots = self._settings.compute.slots
        while True:
            for gpu_id in range(slots):
                current = self._current.get(gpu_id)
                named = None if current is None else {"task_id": current.task_id, "attempt": current.attempt}
                report = slot_document(current=named)
                await self._call("SELECT slot_report(%s, 'bench', %s)", gpu_id, Jsonb(report))
                await asyncio.sleep(1.0 / slots)

    async def _call(self, query: str, *values: object) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(query.encode(), values)


def _lines(request: CalculationRequest) -> list[dict[str, object]]:
    """The two lines that a stage of a single point logs."""
    return [
        {"level": "INFO", "logger": "task", "message": text, "gpu_id": request.gpu_id, "extra": {}}
        for text in ("Stage evaluate begins.", "Stage evaluate took 1 s.")
    ]


def _by_prefect(client: PrefectClient) -> Tell:
    states = {StateType.RUNNING: Running, StateType.COMPLETED: Completed}

    async def tell(key: str, flow_run_id: UUID, state: StateType) -> None:
        await client.set_flow_run_state(flow_run_id, states[state]())

    return tell


def _by_notification(pool: AsyncConnectionPool) -> Tell:
    async def tell(key: str, flow_run_id: UUID, state: StateType) -> None:
        async with pool.connection() as connection:
            news = f"{key} {state.value} {flow_run_id}"
            await connection.execute("SELECT pg_notify('mofsim_bench', %s)", [news])

    return tell


async def _make_pools(client: PrefectClient, slots: int) -> None:
    """The pools and the deployments of single points, as `deployments.prefect_setup` makes them."""
    flow_id = await client.create_flow_from_name(TaskType.SINGLE_POINT.value)
    for name in map(pool_name, range(slots)):
        await client.create_work_pool(
            WorkPoolCreate(
                name=name, type=WORKER_TYPE, base_job_template=JOB_TEMPLATE, concurrency_limit=POOL_LIMIT
            )
        )
        await client.create_work_queue(name="normal", work_pool_name=name, priority=QUEUES["normal"])
        await client.create_deployment(flow_id, name=name, work_pool_name=name)
