"""The engine against a real PostgreSQL and a real Prefect server; the test plays worker and host."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Completed, Crashed, Pending, Running

from api_gateway.database import Database
from api_gateway.database.models import Priority
from api_gateway.orchestrator import Orchestrator
from api_gateway.scheduling.engine import Engine
from api_gateway.scheduling.placer import Placer
from api_gateway.scheduling.service import Cancellation, NewTask, QueueService
from mofsim_settings import PrefectSettings, Settings
from tests.api_gateway.tasks_for_tests import Sql, new_task, submit
from tests.fixtures.prefect import PrefectServer

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 60.0


async def until(ask: Callable[[], Any]) -> Any:
    """Wait until `ask` answers something true.

    In a thread, like every statement here that may wait for a lock: the engine that holds it lives
    on this very loop.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := await asyncio.to_thread(ask)):
        assert time.monotonic() < deadline, "nothing happened"
        await asyncio.sleep(0.01)
    return answer


@dataclass
class World:
    """What surrounds the engine: clients who submit, a worker, a host, and eyes."""

    database: Database
    settings: Settings
    sql: Sql
    prefect: PrefectClient

    async def submit(self, *tasks: NewTask) -> list[str]:
        return await submit(self.database, self.settings, *(tasks or (new_task(),)))

    async def call(self, function: str, *values: Any) -> Any:
        """Call a function of the database as flows and hosts do."""
        return await asyncio.to_thread(self.sql.call, function, *values)

    async def slot_report(self, gpu_id: int, **report: Any) -> None:
        await asyncio.to_thread(self.sql.slot_report, gpu_id, **report)

    async def run_of(self, task_id: str, attempt: int = 1) -> UUID:
        """The flow run of an attempt, once it was made."""
        query = "SELECT flow_run_id FROM task_attempts WHERE task_id = %s AND attempt = %s"

        def look() -> UUID | None:
            rows = self.sql.rows(query, task_id, attempt)
            return rows[0]["flow_run_id"] if rows else None

        run_id: UUID = await until(look)
        return run_id

    async def begin(self, task_id: str, attempt: int = 1) -> UUID:
        """Take the run as a pool worker does."""
        run_id = await self.run_of(task_id, attempt)
        await self.prefect.set_flow_run_state(run_id, Pending())
        await self.prefect.set_flow_run_state(run_id, Running())
        assert await self.call("attempt_heartbeat", task_id, attempt, "flow") == "go"
        await self.status(task_id, "RUNNING")
        return run_id

    async def finish(self, task_id: str, run_id: UUID, attempt: int = 1) -> None:
        assert await self.call("attempt_result", task_id, attempt, {"converged": True}, []) == "go"
        await self.prefect.set_flow_run_state(run_id, Completed())

    async def status(self, task_id: str, status: str) -> None:
        await until(lambda: self.sql.status(task_id) == status)

    async def state(self, run_id: UUID, state: StateType) -> None:
        """Wait until Prefect has the run in a state."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (await self.prefect.read_flow_run(run_id)).state_type is not state:
            assert time.monotonic() < deadline, f"the run never became {state}"
            await asyncio.sleep(0.05)

    async def cancel(self, task_id: str) -> Cancellation:
        async with self.database.begin() as session:
            return await QueueService(self.settings).cancel(session, task_id)


@pytest.fixture
async def world(database: Database, live_settings: Settings, sql: Sql) -> AsyncIterator[World]:
    # Heartbeats are the test's own here, and this machine may be slow.
    scheduling = live_settings.scheduling.model_copy(
        update={"lost_after_seconds": 120.0, "cancel_grace_seconds": 60.0}
    )
    settings = live_settings.model_copy(update={"scheduling": scheduling})
    async with PrefectClient(settings.prefect.api_url) as prefect:
        yield World(database, settings, sql, prefect)


@asynccontextmanager
async def engine(world: World) -> AsyncIterator[Engine]:
    async with Engine(world.database, world.settings) as running:
        await asyncio.wait_for(running.leading.wait(), PATIENCE_SECONDS)
        yield running


@asynccontextmanager
async def living_host(world: World, gpu_id: int) -> AsyncIterator[None]:
    """A host that goes on reporting."""

    # A connection of its own: a report that waits for a lock must not hold up the test's looks.
    own = Sql.connect(world.database.url)
    stopped = asyncio.Event()

    async def report() -> None:
        while not stopped.is_set():
            await asyncio.to_thread(own.slot_report, gpu_id)
            await asyncio.sleep(0.5)

    reports = asyncio.create_task(report())
    try:
        yield
    finally:
        stopped.set()
        await reports
        own.connection.close()


async def test_a_task_goes_all_the_way(world: World) -> None:
    await world.slot_report(0, warm_models=["sevennet_prod"])
    async with engine(world):
        (task_id,) = await world.submit()
        run_id = await world.begin(task_id)
        await world.finish(task_id, run_id)
        await world.status(task_id, "COMPLETED")
    assert world.sql.moves(task_id) == ["QUEUED", "ASSIGNED", "RUNNING", "COMPLETED"]
    attempt = world.sql.attempt(task_id)
    assert attempt["gpu_id"] == 0
    assert attempt["reasons"]["model_warm"] is True
    assert attempt["released_at"] is not None
    run = await world.prefect.read_flow_run(run_id)
    assert run.name == f"{task_id}:1"
    assert run.work_queue_name == "normal"


async def test_the_queue_is_worked_off_by_priority_then_place_and_every_slot_is_used(world: World) -> None:
    for gpu_id in (0, 1):
        await world.slot_report(gpu_id)
    low, first, second, urgent = await world.submit(
        new_task(priority=Priority.LOW), new_task(), new_task(), new_task(priority=Priority.CRITICAL)
    )
    async with engine(world):
        runs = {task_id: await world.begin(task_id) for task_id in (urgent, first)}
        assert world.sql.status(second) == world.sql.status(low) == "QUEUED"
        await world.finish(urgent, runs[urgent])
        await world.begin(second)
        await world.finish(first, runs[first])
        await world.run_of(low)
    assert world.sql.attempt(second)["created_at"] < world.sql.attempt(low)["created_at"]
    assert world.sql.task(second)["gpu_id"] != world.sql.task(first)["gpu_id"]


async def test_a_running_task_is_cancelled_through_prefect(world: World) -> None:
    await world.slot_report(0)
    async with engine(world):
        (task_id,) = await world.submit()
        run_id = await world.begin(task_id)
        await world.slot_report(0, current={"task_id": task_id, "attempt": 1})
        assert await world.cancel(task_id) is Cancellation.STOPPING
        await world.state(run_id, StateType.CANCELLING)
        await world.prefect.set_flow_run_state(run_id, Cancelled())
        await world.status(task_id, "CANCELLED")
        (next_id,) = await world.submit()
        await asyncio.sleep(0.3)
        assert world.sql.status(next_id) == "QUEUED", "the host still computes"
        await world.slot_report(0)
        await world.run_of(next_id)


async def test_a_task_that_waits_at_its_gpu_is_cancelled_at_once(world: World) -> None:
    await world.slot_report(0)
    async with engine(world):
        (task_id,) = await world.submit()
        run_id = await world.run_of(task_id)
        assert await world.cancel(task_id) is Cancellation.STOPPING
        await world.status(task_id, "CANCELLED")
        await world.state(run_id, StateType.CANCELLED)
        (next_id,) = await world.submit()
        await world.run_of(next_id)


async def test_a_cancellation_in_prefects_ui_asks_the_stage_to_stop(world: World) -> None:
    await world.slot_report(0)
    async with engine(world):
        (task_id,) = await world.submit()
        run_id = await world.begin(task_id)
        async with Orchestrator(world.settings.prefect.api_url) as ui:
            await ui.stop_run(run_id)
        await until(lambda: world.sql.call("attempt_report", task_id, 1, None, []) == "stop")
        await world.prefect.set_flow_run_state(run_id, Cancelled())
        await world.status(task_id, "CANCELLED")


async def test_a_crashed_run_is_tried_again_as_a_new_run_and_the_zombie_is_fenced(world: World) -> None:
    await world.slot_report(0)
    async with engine(world):
        (task_id,) = await world.submit()
        zombie = await world.begin(task_id)
        await world.prefect.set_flow_run_state(zombie, Crashed())
        await until(lambda: world.sql.task(task_id)["attempt"] == 2)
        await world.slot_report(0)
        run_id = await world.begin(task_id, attempt=2)
        assert run_id != zombie
        assert await world.call("attempt_result", task_id, 1, {"converged": False}, []) == "fenced"
        await world.prefect.set_flow_run_state(zombie, Completed(), force=True)
        await world.finish(task_id, run_id, attempt=2)
        await world.status(task_id, "COMPLETED")
    moves = ["QUEUED", "ASSIGNED", "RUNNING", "QUEUED", "ASSIGNED", "RUNNING", "COMPLETED"]
    assert world.sql.moves(task_id) == moves
    assert world.sql.row("SELECT attempt, result FROM task_results") == {
        "attempt": 2,
        "result": {"converged": True},
    }


async def test_the_run_of_a_silent_flow_is_closed_so_that_its_pool_is_free(world: World) -> None:
    await world.slot_report(0)
    async with engine(world):
        (task_id,) = await world.submit()
        run_id = await world.begin(task_id)
        await asyncio.to_thread(
            world.sql.run,
            "UPDATE task_attempts SET started_at = now() - interval '300 s',"
            " flow_heartbeat_at = now() - interval '300 s'",
        )
    strict = world.settings.scheduling.model_copy(update={"lost_after_seconds": 10.0})
    world.settings = world.settings.model_copy(update={"scheduling": strict})
    async with living_host(world, 0), engine(world):
        await world.state(run_id, StateType.CRASHED)
        assert world.sql.task(task_id)["attempt"] == 2
        await world.run_of(task_id, attempt=2)


async def test_a_placement_that_a_crash_cut_in_two_is_finished_exactly_once(world: World) -> None:
    await world.slot_report(0)
    (task_id,) = await world.submit()
    nobody = PrefectSettings(api_url="http://127.0.0.1:9/api")
    cut_off = world.settings.model_copy(update={"prefect": nobody})
    async with Orchestrator.from_settings(cut_off) as orchestrator:
        placer = Placer(world.database, orchestrator, cut_off)
        assert [decision.gpu_id for decision in await placer.place_once()] == [0]
        await placer.settle()
    assert world.sql.status(task_id) == "ASSIGNED"
    assert world.sql.attempt(task_id)["flow_run_id"] is None

    async with engine(world):
        run_id = await world.run_of(task_id)
    named = FlowRunFilter(name=FlowRunFilterName(any_=[f"{task_id}:1"]))
    assert [run.id for run in await world.prefect.read_flow_runs(flow_run_filter=named)] == [run_id]


async def test_what_happened_while_no_gateway_ran_is_caught_up(world: World) -> None:
    await world.slot_report(0)
    async with engine(world):
        (task_id,) = await world.submit()
        run_id = await world.begin(task_id)
    await world.finish(task_id, run_id)
    assert world.sql.status(task_id) == "RUNNING"
    async with engine(world):
        await world.status(task_id, "COMPLETED")


async def test_one_gateway_leads_and_another_takes_over(world: World) -> None:
    await world.slot_report(0)
    async with engine(world) as first, Engine(world.database, world.settings) as second:
        await asyncio.sleep(1.5)
        assert first.leading.is_set()
        assert not second.leading.is_set()
        await first.stop()
        await asyncio.wait_for(second.leading.wait(), PATIENCE_SECONDS)
        (task_id,) = await world.submit()
        await world.run_of(task_id)


async def test_a_prefect_server_that_dies_and_comes_back_loses_no_task(
    world: World, prefect_server: PrefectServer
) -> None:
    for gpu_id in (0, 1):
        await world.slot_report(gpu_id)
    async with engine(world):
        (running,) = await world.submit()
        run_id = await world.begin(running)
        prefect_server.kill()
        (submitted,) = await world.submit()
        await world.status(submitted, "ASSIGNED")
        assert await world.cancel(running) is Cancellation.STOPPING
        await asyncio.to_thread(prefect_server.start)
        await world.state(run_id, StateType.CANCELLING)
        await world.prefect.set_flow_run_state(run_id, Cancelled())
        await world.status(running, "CANCELLED")
        await world.finish(submitted, await world.begin(submitted))
        await world.status(submitted, "COMPLETED")
