"""How fast the REST API answers with a full database: `./mofsim bench api`.

50 clients mix status, list, logs and submit over 1,000 queued and 100,000 ended tasks: first at a
rate the machine can serve (open loop), then as fast as they are answered (closed loop). The clients
share the cores with the server, so the processor time of each part is told. Then one page of the
list at several depths, and what 200 open event streams cost in memory. Prints tables, writes JSON,
and fails when a figure misses its goal.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deployments.bench.api import world
from deployments.bench.api.load import Connection, Load, Samples, hold_streams
from deployments.bench.api.world import World

P99_GOAL_MS = 50.0
STREAMS_GOAL_MB = 100.0
DEPTHS = (1, 10, 100, 1000, 5000)
PAGE_ROUNDS = 40


@dataclass(frozen=True)
class Wanted:
    """What is measured."""

    ended_tasks: int
    queued_tasks: int
    clients: int
    streams: int
    seconds: float
    per_second: float
    processes: int


def measure(home: Path, wanted: Wanted, console: Console) -> dict[str, Any]:
    """Fill a database, serve it, measure."""
    console.print(f"Making {wanted.ended_tasks} ended tasks …")
    with world.running(home, ended_tasks=wanted.ended_tasks, processes=wanted.processes) as served:
        return asyncio.run(_measure(served, wanted, console))


async def _measure(served: World, wanted: Wanted, console: Console) -> dict[str, Any]:
    client = Connection(served.port, served.key)
    queued = await _queue(client, wanted.queued_tasks)
    ended = [f"task_{number:026d}" for number in range(1, wanted.ended_tasks, 97)]
    cursors = [_cursor(wanted.ended_tasks * share // 10) for share in range(1, 10)]
    load = Load(served.port, served.key, wanted.clients, queued + ended, cursors)
    await load.closed(1.0)  # connections of the pool, prepared statements, caches
    console.print("Measuring …")
    figures: dict[str, Any] = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    figures[f"open loop, {wanted.per_second:g}/s"] = await _watched(
        served, load.open(wanted.seconds, wanted.per_second)
    )
    figures["closed loop"] = await _watched(served, load.closed(wanted.seconds))
    figures["page_ms"] = await _pages(client, wanted)
    before_MB = served.memory_MB()
    with_MB = await hold_streams(
        served.port, served.key, (queued * wanted.streams)[: wanted.streams], served.memory_MB
    )
    figures["streams"] = {"open": wanted.streams, "memory_MB": round(with_MB - before_MB, 1)}
    client.close()
    return figures


async def _watched(served: World, work: Coroutine[Any, Any, Samples]) -> dict[str, Any]:
    """What the clients saw, and the processor time that each part took for it."""
    before, began = _cpu(served), time.perf_counter()
    samples = await work
    lasted = time.perf_counter() - began
    count = sum(map(len, samples.values()))
    spent = {part: after - before[part] for part, after in _cpu(served).items()}
    return {
        "requests_per_second": round(count / lasted, 1),
        "ms": _percentiles(samples),
        "cores_busy": {part: round(seconds / lasted, 2) for part, seconds in spent.items()},
        "cpu_ms_per_request": {part: round(seconds / count * 1e3, 2) for part, seconds in spent.items()},
    }


async def _queue(client: Connection, count: int) -> list[str]:
    submission = {
        "task_type": "single-point-energy",
        "model": "sevennet_prod",
        "structure": {"source": "builtin", "name": "MOF-5"},
    }
    answer = await client.ask("POST", "/tasks/batch", {"tasks": [submission] * count})
    return [task["task_id"] for task in json.loads(answer["content"])["data"]["tasks"]]


async def _pages(client: Connection, wanted: Wanted) -> dict[str, float]:
    """Median time of a page of ten, by its number, reached by cursor."""
    times = {}
    for page in DEPTHS:
        cursor = _cursor(wanted.ended_tasks + wanted.queued_tasks - 10 * (page - 1))
        rounds = []
        for _ in range(PAGE_ROUNDS):
            began = time.perf_counter()
            await client.ask("GET", f"/tasks?page_size=10&cursor={cursor}")
            rounds.append((time.perf_counter() - began) * 1e3)
        times[str(page)] = round(statistics.median(rounds), 2)
    return times


def _cursor(place: int) -> str:
    """As the gateway makes them."""
    return base64.urlsafe_b64encode(max(place, 1).to_bytes(8, "big")).decode().rstrip("=")


def _cpu(served: World) -> dict[str, float]:
    times = os.times()
    return served.cpu_seconds() | {"clients": times.user + times.system}


def _percentiles(samples: Samples) -> dict[str, dict[str, float]]:
    everything = [seconds for of_kind in samples.values() for seconds in of_kind]
    return {kind: _of(times) for kind, times in (samples | {"all": everything}).items()}


def _of(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {
        name: round(cuts[number - 1] * 1e3, 1) for name, number in (("p50", 50), ("p95", 95), ("p99", 99))
    }


def _show(figures: dict[str, Any], console: Console) -> bool:
    """Print everything; whether the goals are met."""
    p99 = 0.0
    for name, found in figures.items():
        if not isinstance(found, dict) or "ms" not in found:
            continue
        cost = found["cpu_ms_per_request"]
        busy = "; ".join(
            f"{part} {cores} cores, {cost[part]} ms a request" for part, cores in found["cores_busy"].items()
        )
        table = Table(
            *("request", "P50", "P95", "P99"),
            title=f"{name}: {found['requests_per_second']}/s, ms",
            caption=f"processors: {busy}",
        )
        for kind, times in found["ms"].items():
            table.add_row(kind, *(str(times[cut]) for cut in ("p50", "p95", "p99")))
        console.print(table)
        p99 = p99 or found["ms"]["all"]["p99"]
    pages = ", ".join(f"{page}: {ms}" for page, ms in figures["page_ms"].items())
    console.print(f"Pages of the list by cursor, ms: {pages}")
    streams = figures["streams"]
    console.print(f"{streams['open']} open streams: {streams['memory_MB']} MB (goal ≤ {STREAMS_GOAL_MB:g})")
    console.print(f"P99 of the open loop: {p99} ms (goal < {P99_GOAL_MS:g})")
    return p99 < P99_GOAL_MS and streams["memory_MB"] <= STREAMS_GOAL_MB


def main() -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench api", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/api.json"), help="where to write")
    parser.add_argument("--ended", type=int, default=100_000, help="ended tasks in the database")
    parser.add_argument("--queued", type=int, default=1000, help="queued tasks")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second of the open loop")
    parser.add_argument("--processes", type=int, default=1, help="gateway processes")
    given = parser.parse_args()
    wanted = Wanted(
        ended_tasks=given.ended,
        queued_tasks=given.queued,
        clients=given.clients,
        streams=given.streams,
        seconds=given.seconds,
        per_second=given.rate,
        processes=given.processes,
    )
    console = Console()
    home = Path(tempfile.mkdtemp(prefix="mofsim-bench-"))
    try:
        figures = measure(home, wanted, console)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    reached = _show(figures, console)
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"Written to {given.json}.")
    raise SystemExit(0 if reached else 1)


if __name__ == "__main__":
    main()
