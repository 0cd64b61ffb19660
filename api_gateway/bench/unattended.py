"""The gateway's placement and follower with the Prefect server left out: what they could do without it.

They run in a process of their own, as in a gateway. Runs get an id at once, and states arrive by
`NOTIFY mofsim_bench, '<task_id>:<attempt> <state> <flow run id>'` instead of as Prefect's events.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

from api_gateway.database import Database
from api_gateway.orchestrator import AttemptKey, MadeRun, Orchestrator, RunNews, RunOrder, RunState
from api_gateway.scheduling.follower import Follower
from api_gateway.scheduling.placer import Placer
from api_gateway.scheduling.reconciler import Reconciler
from mofsim_settings import Settings

CHANNEL = "mofsim_bench"


class NoOrchestrator(Orchestrator):
    """Stands where Prefect would be."""

    async def create_run(self, order: RunOrder) -> MadeRun:
        run = {"name": str(order.key), "parameters": {"request": order.request.model_dump(mode="json")}}
        return MadeRun(flow_run_id=uuid4(), document=json.dumps(run))


async def serve(settings: Settings) -> None:
    """Place, follow and measure durations until cancelled."""
    database = Database.from_settings(settings)
    orchestrator = NoOrchestrator.from_settings(settings)
    reconciler = Reconciler(database, orchestrator, settings)

    async def measure() -> None:
        while True:
            await reconciler.measure()
            await asyncio.sleep(settings.scheduling.heartbeat_seconds / 2)

    async with asyncio.TaskGroup() as loops:
        loops.create_task(Placer(database, orchestrator, settings).run())
        loops.create_task(_follow(database, Follower(database, orchestrator, settings)))
        loops.create_task(measure())


async def _follow(database: Database, follower: Follower) -> None:
    async with database.connection(CHANNEL) as connection, asyncio.TaskGroup() as moves:
        async for note in connection.notifies():
            name, state, flow_run_id = note.payload.split()
            if (key := AttemptKey.parse(name)) is not None:
                news = RunNews(
                    key=key, flow_run_id=UUID(flow_run_id), state=RunState(state), at=datetime.now(UTC)
                )
                moves.create_task(follower.apply(news))
