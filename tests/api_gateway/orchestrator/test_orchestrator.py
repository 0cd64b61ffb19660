"""The gateway's side of Prefect, against a real server."""

from __future__ import annotations

import asyncio
import socket
import time
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.states import Completed, Pending, Running

from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.orchestrator import (
    AttemptKey,
    DeploymentMissingError,
    Orchestrator,
    RunOrder,
    RunState,
    run_events,
)
from mof_benchmark.identifiers import new_id
from mof_benchmark.schemas import CalculationRequest, TaskType
from tests.api_gateway.tasks_for_tests import STRUCTURE

pytestmark = pytest.mark.anyio


def order(*, attempt: int = 1, gpu_id: int = 0, task_id: str | None = None) -> RunOrder:
    request = CalculationRequest(
        task_id=task_id or new_id("task"),
        attempt=attempt,
        task_type=TaskType.SINGLE_POINT,
        gpu_id=gpu_id,
        model="sevennet_prod",
        structure=STRUCTURE,
        parameters={},
        request_id="req_1",
    )
    return RunOrder(request=request, priority=1, tags=("mine",))


async def test_a_run_is_made_once_however_often_it_is_asked_for(api_url: str) -> None:
    wanted = order()
    async with Orchestrator(api_url) as orchestrator, PrefectClient(api_url) as client:
        first = (await orchestrator.create_run(wanted)).flow_run_id
        assert (await orchestrator.create_run(wanted)).flow_run_id == first
        run = await client.read_flow_run(first)
    assert run.name == f"{wanted.request.task_id}:1"
    assert run.work_queue_name == "high"
    assert run.work_pool_name == "gpu-0"
    assert run.parameters == {"request": wanted.request.model_dump(mode="json")}
    assert {f"task:{wanted.request.task_id}", "model:sevennet_prod", "priority:high", "request:req_1"} < set(
        run.tags
    )
    assert "mine" in run.tags


async def test_a_slot_without_deployments_is_said_to_have_none(api_url: str) -> None:
    async with Orchestrator(api_url) as orchestrator:
        with pytest.raises(DeploymentMissingError, match="single-point-energy/gpu-63"):
            await orchestrator.create_run(order(gpu_id=63))


async def test_a_run_that_never_started_is_cancelled_at_once_and_a_running_one_is_cancelling(
    api_url: str,
) -> None:
    async with Orchestrator(api_url) as orchestrator, PrefectClient(api_url) as client:
        waiting, running = [(await orchestrator.create_run(order())).flow_run_id for _ in range(2)]
        await client.set_flow_run_state(running, Pending())
        await client.set_flow_run_state(running, Running())
        assert await orchestrator.stop_run(waiting) is RunState.CANCELLED
        assert await orchestrator.stop_run(running) is RunState.CANCELLING
        assert await orchestrator.stop_run(uuid4()) is None


async def test_a_stuck_run_is_closed_and_an_ended_one_keeps_its_state(api_url: str) -> None:
    async with Orchestrator(api_url) as orchestrator, PrefectClient(api_url) as client:
        stuck, done = [(await orchestrator.create_run(order())).flow_run_id for _ in range(2)]
        for run_id in (stuck, done):
            await client.set_flow_run_state(run_id, Pending())
            await client.set_flow_run_state(run_id, Running())
        await client.set_flow_run_state(done, Completed())
        assert await orchestrator.close_run(stuck, crashed=True, message="gone") is RunState.CRASHED
        assert await orchestrator.close_run(done, crashed=True, message="gone") is RunState.COMPLETED
        states = await orchestrator.read_runs([stuck, done, uuid4()])
    assert {run_id: news.state for run_id, news in states.items()} == {
        stuck: RunState.CRASHED,
        done: RunState.COMPLETED,
    }


async def test_states_arrive_as_events_in_their_order(api_url: str) -> None:
    wanted = order()
    seen: list[RunState] = []
    async with (
        Orchestrator(api_url) as orchestrator,
        PrefectClient(api_url) as client,
        run_events(api_url) as events,
        asyncio.timeout(30),
    ):
        run_id = (await orchestrator.create_run(wanted)).flow_run_id
        states: list[State] = [Pending(), Running(), Completed()]
        for state in states:
            await client.set_flow_run_state(run_id, state)
        async for news in events:
            if news.key == wanted.key:
                assert news.flow_run_id == run_id
                seen.append(news.state)
                if news.state.terminal:
                    break
    assert seen == [RunState.SCHEDULED, RunState.PENDING, RunState.RUNNING, RunState.COMPLETED]


async def test_a_server_that_is_away_is_noticed_at_once() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}/api"
    async with Orchestrator(nobody) as orchestrator:
        began = time.monotonic()
        with pytest.raises(OrchestratorUnavailableError):
            await orchestrator.create_run(order())
        assert not await orchestrator.healthy()
        assert time.monotonic() - began < 1


def test_runs_of_others_are_no_news() -> None:
    assert AttemptKey.parse("task_01:2") == AttemptKey(task_id="task_01", attempt=2)
    for name in ("curious-otter", "task_01", "task_01:x", "other:1", ""):
        assert AttemptKey.parse(name) is None
