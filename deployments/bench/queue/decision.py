"""How long a placement takes with a long queue: real placer, real PostgreSQL, no Prefect server."""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog
from sqlalchemy import text

from api_gateway.database import Database
from api_gateway.orchestrator import AttemptKey, Orchestrator, RunNews, RunState
from api_gateway.scheduling.placement import Decision
from api_gateway.scheduling.placer import Placer
from api_gateway.scheduling.transitions import apply_news
from deployments.bench.queue.figures import Figure, percentile
from deployments.bench.queue.parts import servers
from deployments.bench.queue.queueing import fill_history, slot_document, submit
from mofsim_settings import Settings
from tasks.database import ReportDatabase

LIMIT_MS = 20.0


@dataclass(frozen=True)
class Round:
    """One round of placement."""

    seconds: float
    processor_seconds: float
    """Of the placing process; what else runs on the machine does not count."""
    decisions: int


async def measure(*, queued: int, finished: int, slots: int, rounds: int) -> list[Figure]:
    """Time rounds with one slot free, and rounds with all of them free."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with servers(slots, with_prefect=False) as settings:
        database = Database.from_settings(settings)
        try:
            await submit(database, settings, queued, mixed=True)
            fill_history(settings, finished, slots)
            _report_slots(settings)
            async with Orchestrator.from_settings(settings) as nobody:
                placer = Placer(database, nobody, settings)
                # The first rounds meet cold caches and statements that are not prepared yet.
                await _rounds(placer, database, settings, count=5, free=slots)
                all_free = await _rounds(placer, database, settings, count=rounds, free=slots)
                one_free = await _rounds(placer, database, settings, count=rounds, free=1)
        finally:
            await database.close()
    note = (
        f"{queued} queued, {finished} finished tasks, {slots} slots; real placer and database; a round is "
        "picture, decision and commit, without Prefect"
    )
    return [
        *_figures("one slot free", one_free, note),
        *_figures(f"all {slots} slots free", all_free, note),
    ]


async def _rounds(
    placer: Placer, database: Database, settings: Settings, *, count: int, free: int
) -> list[Round]:
    """Rounds that find `free` slots free."""
    rounds: list[Round] = []
    held: list[Decision] = []
    for _ in range(count):
        started, processor = time.perf_counter(), time.process_time()
        placed = await placer.place_once()
        rounds.append(
            Round(time.perf_counter() - started, time.process_time() - processor, max(1, len(placed)))
        )
        # Nobody is there to make the runs; their failures must not fall into the next round.
        await placer.settle()
        held += placed
        over, held = held[:free], held[free:]
        for decision in over:
            await _complete(database, settings, decision)
        await submit(database, settings, len(placed), mixed=True)
    for decision in held:
        await _complete(database, settings, decision)
    return rounds


async def _complete(database: Database, settings: Settings, decision: Decision) -> None:
    task = decision.task
    async with database.begin() as session:
        await session.execute(
            text("SELECT attempt_result(:task_id, :attempt, '{}', '[]')"),
            {"task_id": task.task_id, "attempt": task.attempt},
        )
        key = AttemptKey(task_id=task.task_id, attempt=task.attempt)
        news = RunNews(key=key, flow_run_id=uuid4(), state=RunState.COMPLETED, at=datetime.now(UTC))
        await apply_news(session, news, settings.scheduling)


def _report_slots(settings: Settings) -> None:
    hosts = ReportDatabase(settings.database.url.get_secret_value())
    for gpu_id in range(settings.compute.slots):
        hosts.slot_report(gpu_id, "bench", slot_document())
    hosts.close()


def _figures(when: str, rounds: list[Round], note: str) -> list[Figure]:
    whole = [1000 * one.seconds for one in rounds]
    each = [1000 * one.seconds / one.decisions for one in rounds]
    processor = [1000 * one.processor_seconds / one.decisions for one in rounds]
    return [
        Figure(
            f"a placement decision, {when}, median",
            statistics.median(each),
            "ms",
            at_most=LIMIT_MS,
            note=note,
        ),
        Figure(f"… 99th percentile, {when}", percentile(each, 0.99), "ms", note=note),
        Figure(f"… its processor time, {when}, median", statistics.median(processor), "ms", note=note),
        Figure(f"a round of placement, {when}, median", statistics.median(whole), "ms", note=note),
        Figure(f"… 99th percentile of a round, {when}", percentile(whole, 0.99), "ms", note=note),
    ]
