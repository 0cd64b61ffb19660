"""`python -m deployments.maintenance`: the worker of the scheduled chores, behind everything else."""

from __future__ import annotations

import asyncio
import os
import sys

from deployments.stack.parts import MAINTENANCE_POOL


def main() -> None:
    # The chores can wait; calculations and requests cannot.
    os.nice(15)
    asyncio.run(_close_leftovers())
    words = ("worker", "start", "--pool", MAINTENANCE_POOL, "--type", "process")
    command = [sys.executable, "-P", "-m", "prefect", *words, "--install-policy", "never"]
    os.execv(sys.executable, command)  # noqa: S606 - itself, in this process


async def _close_leftovers() -> None:
    # Prefect reads its settings from the environment when it is imported.
    from prefect.client.orchestration import get_client

    from deployments.worker.leftovers import OPEN_STATES, close_runs, no_longer_lives, runs_in
    from deployments.worker.outage import through_outages

    async def close() -> None:
        async with get_client() as client:
            runs = await runs_in(client, [MAINTENANCE_POOL], OPEN_STATES)
            await close_runs(client, [run for run in runs if no_longer_lives(run)])

    await through_outages("the worker of the chores", close)


if __name__ == "__main__":
    main()
