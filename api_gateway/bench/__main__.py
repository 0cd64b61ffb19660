"""`python -m api_gateway.bench submit|decision|unattended`, for a database that the settings name."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from dataclasses import asdict

import structlog

from api_gateway.bench.decision import time_rounds
from api_gateway.bench.queueing import submit
from api_gateway.bench.unattended import serve
from api_gateway.database import Database
from mofsim_settings import load_settings


async def fill_queue(count: int) -> None:
    """Queue like tasks."""
    settings = load_settings()
    database = Database.from_settings(settings)
    try:
        await submit(database, settings, count, mixed=False)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m api_gateway.bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    filling = commands.add_parser("submit", help="queue like tasks")
    filling.add_argument("count", type=int)
    deciding = commands.add_parser("decision", help="time rounds of placement, as JSON")
    for name in ("queued", "finished", "rounds"):
        deciding.add_argument(f"--{name}", type=int, required=True)
    commands.add_parser("unattended", help="place and follow without a Prefect server, until killed")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    match options.command:
        case "submit":
            asyncio.run(fill_queue(options.count))
        case "decision":
            measured = asyncio.run(
                time_rounds(
                    load_settings(), queued=options.queued, finished=options.finished, rounds=options.rounds
                )
            )
            print(json.dumps({when: [asdict(one) for one in rounds] for when, rounds in measured.items()}))
        case "unattended":
            asyncio.run(serve(load_settings()))


if __name__ == "__main__":
    main()
