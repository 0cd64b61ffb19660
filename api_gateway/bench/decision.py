"""Rounds of placement with a long queue: real placer, real PostgreSQL, no Prefect server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import text

from api_gateway.bench.queueing import fill_history, submit
from api_gateway.database import Database
from api_gateway.orchestrator import AttemptKey, Orchestrator, RunNews, RunState
from api_gateway.scheduling.placement import Decision
from api_gateway.scheduling.placer import Placer
from api_gateway.scheduling.transitions import apply_news
from mofsim_settings import Settings


@dataclass(frozen=True)
class Round:
    """One round of placement."""

    seconds: float
    processor_seconds: float
    """Of the placing process; what else runs on the machine does not count."""
    decisions: int


async def time_rounds(
    settings: Settings, *, queued: int, finished: int, rounds: int
) -> dict[str, list[Round]]:
    """Rounds that find one slot free, and rounds that find all of them; their slots have reported."""
    slots = settings.compute.slots
    database = Database.from_settings(settings)
    try:
        await submit(database, settings, queued, mixed=True)
        fill_history(settings, finished, slots)
        async with Orchestrator.from_settings(settings) as nobody:
            placer = Placer(database, nobody, settings)
            # The first rounds meet cold caches and statements that are not prepared yet.
            await _rounds(placer, database, settings, count=5, free=slots)
            all_free = await _rounds(placer, database, settings, count=rounds, free=slots)
            one_free = await _rounds(placer, database, settings, count=rounds, free=1)
    finally:
        await database.close()
    return {"one_free": one_free, "all_free": all_free}


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
