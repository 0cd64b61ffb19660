"""The placement loop: woken by the queue, it binds tasks to GPUs and has Prefect run them.

One transaction writes the attempts; then one idempotent call for each makes its flow run. A crash
between the two leaves an attempt without a run, which the next round makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_gateway.database import Database
from api_gateway.database.models import Task, TaskAttempt, TaskStatus
from api_gateway.errors import OrchestratorUnavailableError
from api_gateway.metrics import instruments
from api_gateway.orchestrator import (
    AttemptKey,
    DeploymentMissingError,
    MadeRun,
    Orchestrator,
    OrchestratorRefusedError,
    RunOrder,
)
from api_gateway.scheduling import transitions
from api_gateway.scheduling.picture import rules, take_picture
from api_gateway.scheduling.placement import Decision, place
from api_gateway.scheduling.stopper import pass_on_stop
from mof_benchmark.schemas import CalculationRequest, StructureInput
from mofsim_settings import Settings

log = structlog.get_logger("gateway.placement")

_TICK_SECONDS = 1.0
"""Longest pause between two rounds: retries that wait, runs that near their end, slots gone silent."""

_NOTIFY_BYTES = 8000
"""PostgreSQL's limit of a notification."""

_PARALLEL_CALLS = 8
"""Runs made at the same time; Prefect's server is one process."""


class Placer:
    """Binds waiting tasks to slots. At most one works at a time (see `engine`)."""

    def __init__(self, database: Database, orchestrator: Orchestrator, settings: Settings) -> None:
        self._database = database
        self._orchestrator = orchestrator
        self._settings = settings
        self._rules = rules(settings)
        self._launches: dict[AttemptKey, asyncio.Task[None]] = {}
        self._calls = asyncio.Semaphore(_PARALLEL_CALLS)

    async def run(self) -> None:
        """Place until cancelled."""
        clock = asyncio.get_running_loop()
        looked = clock.time() - _TICK_SECONDS
        try:
            async with self._database.connection("mofsim_queue") as connection:
                while True:
                    with instruments.placement_round_seconds.time():
                        await self.place_once()
                    # Not in every round: it must not delay the runs that the round has just begun to make.
                    if clock.time() - looked >= _TICK_SECONDS:
                        await self.launch_missing()
                        looked = clock.time()
                    async for _ in connection.notifies(timeout=_TICK_SECONDS, stop_after=1):
                        pass
        finally:
            launches = list(self._launches.values())
            for launch in launches:
                launch.cancel()
            await asyncio.gather(*launches, return_exceptions=True)

    async def place_once(self) -> list[Decision]:
        """One round: decide, write, and start making the runs.

        Returns
        -------
        The decisions that were carried out.
        """
        async with self._database.begin() as session:
            picture = await take_picture(session, self._settings)
            decided = place(picture.queue, picture.slots, self._rules)
            bound = [
                (decision, task)
                for decision in decided
                if (task := await _bind(session, decision)) is not None
            ]
        for decision, task in bound:
            log.info(
                "task placed", task_id=task.id, attempt=task.attempt, gpu_id=task.gpu_id, **decision.reasons
            )
            instruments.placements.labels(
                decision.gpu_id, decision.reasons["model_warm"], decision.ahead
            ).inc()
            self._launch(task)
        return [decision for decision, _ in bound]

    async def launch_missing(self) -> None:
        """Make the runs that a crash, or Prefect's absence, left unmade."""
        async with self._database.begin() as session:
            tasks = await session.scalars(
                select(Task)
                .join(TaskAttempt, (TaskAttempt.task_id == Task.id) & (TaskAttempt.attempt == Task.attempt))
                .where(
                    Task.status.in_([TaskStatus.ASSIGNED, TaskStatus.RUNNING]),
                    TaskAttempt.flow_run_id.is_(None),
                )
            )
            for task in tasks:
                self._launch(task)

    async def settle(self) -> None:
        """Wait until no call to Prefect is under way."""
        await asyncio.gather(*self._launches.values())

    def _launch(self, task: Task) -> None:
        order = run_order(task)
        if order.key in self._launches:
            return
        launch = asyncio.create_task(self._make_run(order), name=f"launch {order.key}")
        self._launches[order.key] = launch
        launch.add_done_callback(lambda _: self._launches.pop(order.key, None))

    async def _make_run(self, order: RunOrder) -> None:
        try:
            async with self._calls:
                made = await self._orchestrator.create_run(order)
            async with self._database.begin() as session:
                await session.execute(
                    update(TaskAttempt)
                    .where(TaskAttempt.task_id == order.key.task_id, TaskAttempt.attempt == order.key.attempt)
                    .values(flow_run_id=made.flow_run_id)
                )
                await session.execute(
                    text("SELECT pg_notify('mofsim_pool', :news)"),
                    {"news": _announcement(order, made)},
                )
            await pass_on_stop(self._database, self._orchestrator, self._settings, order.key)
        except OrchestratorRefusedError as refusal:
            log.error("run refused", attempt=str(order.key), error=str(refusal))
            await self._refuse(order, str(refusal))
        except (OrchestratorUnavailableError, DeploymentMissingError) as error:
            log.warning("run not made yet", attempt=str(order.key), error=repr(error))
        except Exception:
            # Nobody awaits a launch: its failure must not vanish. The next round tries again.
            log.exception("run not made", attempt=str(order.key))

    async def _refuse(self, order: RunOrder, why: str) -> None:
        async with self._database.begin() as session:
            bound = await transitions.lock_bound(session, order.key)
            if bound is not None:
                transitions.refuse(*bound, why)


async def _bind(session: AsyncSession, decision: Decision) -> Task | None:
    """Write the placement; None when the task was cancelled while it was decided on."""
    where = "bound ahead on" if decision.ahead else "placed on"
    warm = "warm" if decision.reasons["model_warm"] else "cold"
    found: Sequence[Task] = (
        await session.scalars(
            update(Task)
            .where(
                Task.id == decision.task.task_id,
                Task.status == TaskStatus.QUEUED,
                Task.attempt == decision.task.attempt,
            )
            .values(
                status=TaskStatus.ASSIGNED,
                status_reason=f"{where} GPU {decision.gpu_id}, model {warm}",
                gpu_id=decision.gpu_id,
                not_before=None,
            )
            .returning(Task)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
    ).all()
    if not found:
        return None
    await session.execute(
        insert(TaskAttempt).values(
            task_id=decision.task.task_id,
            attempt=decision.task.attempt,
            gpu_id=decision.gpu_id,
            reasons=decision.reasons,
            bound_ahead=decision.ahead,
        )
    )
    return found[0]


def _announcement(order: RunOrder, made: MadeRun) -> str:
    """What the pool worker is told: slot and run, and how the run looks where that can be said."""
    short = f"gpu-{order.request.gpu_id} {made.flow_run_id}"
    whole = f"{short} {made.document}"
    return whole if len(whole.encode()) < _NOTIFY_BYTES else short


def run_order(task: Task) -> RunOrder:
    """The flow run of a bound task's present attempt."""
    if task.gpu_id is None:
        raise ValueError(f"{task.id} is bound to no GPU")
    request = CalculationRequest(
        task_id=task.id,
        attempt=task.attempt,
        task_type=task.task_type,
        gpu_id=task.gpu_id,
        model=task.model,
        structure=StructureInput.model_validate(task.structure),
        parameters=task.parameters,
        require_convergence=task.require_convergence,
        request_id=task.request_id,
        memory_estimate_MB=task.memory_estimate_MB,
        empty_gpu=task.out_of_memory,
    )
    return RunOrder(request=request, priority=task.priority, tags=tuple(task.tags))
