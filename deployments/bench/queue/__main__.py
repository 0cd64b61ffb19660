"""How the queue scales: `./mofsim bench queue`.

Three measurements, all by default: `decision` (placement with 10,000 queued tasks), `busy` (64 slots
with 1 s tasks, without and with the Prefect server) and `single` (1,000 single points on one slot
against the bare loop). Prints a table and writes JSON; fails when a figure misses its goal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deployments.bench.queue.figures import Figure

STRUCTURES = {"Mg-MOF-74": 1000, "MOF-5": 100, "FAU": 50}


def decision(options: argparse.Namespace) -> list[Figure]:
    from deployments.bench.queue import decision as measured

    return measured.measure(
        queued=options.queued, finished=2 * options.queued, slots=8, rounds=max(1, options.rounds)
    )


def busy(options: argparse.Namespace) -> list[Figure]:
    # Prefect reads its settings when it is imported, and the servers have addresses of their own.
    from deployments.bench.queue import busy as measured

    figures = []
    for with_prefect in (False, True):
        figures += asyncio.run(
            measured.measure(
                slots=options.slots, task_seconds=1.0, seconds=options.seconds, with_prefect=with_prefect
            )
        )
    return figures


def single(options: argparse.Namespace) -> list[Figure]:
    from deployments.bench.queue import single_slot as measured

    counts = {
        name: count if options.tasks is None else max(1, options.tasks * count // STRUCTURES["Mg-MOF-74"])
        for name, count in STRUCTURES.items()
    }
    return measured.measure(counts)


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], list[Figure]]] = {
    "decision": decision,
    "busy": busy,
    "single": single,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="./mofsim bench queue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measurement", nargs="*", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--queued", type=int, default=10_000, help="queued tasks of `decision`")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of `decision`")
    parser.add_argument("--slots", type=int, default=64, help="slots of `busy`")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of `busy`")
    parser.add_argument("--tasks", type=int, help="tasks of the smallest structure of `single` (1000)")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/queue.json"), help="where to write")
    options = parser.parse_args()
    # A `kill` ends the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if unknown := set(options.measurement) - set(MEASUREMENTS):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")
    console = Console()
    figures: list[Figure] = []
    for name in options.measurement or MEASUREMENTS:
        console.print(f"{name} …")
        figures += MEASUREMENTS[name](options)
    table = Table("figure", "value", "goal", "")
    for figure in figures:
        verdict = ("holds" if figure.holds else "MISSED") if figure.goal else ""
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", figure.goal, verdict)
    console.print(table)
    for note in dict.fromkeys(figure.note for figure in figures if figure.note):
        console.print(f"· {note}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    console.print(f"Written to {options.json}.")
    raise SystemExit(0 if all(figure.holds for figure in figures) else 1)


if __name__ == "__main__":
    main()
