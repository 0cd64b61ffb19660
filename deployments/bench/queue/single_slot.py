"""Short tasks on one slot of a real stack against bare loops of force calls.

Two loops: that of the model as its package gives it, which a user would write and which has the goal, and
that of our own accelerated one (`docs/decisions/0024-a-task-is-a-run.md`).
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg
from mofsim_client import MOFSimClient
from mofsim_client.requests import SinglePoint

from deployments.bench.overhead import MODEL
from deployments.bench.queue.figures import Figure
from deployments.hosts.plugin import choose_device
from deployments.stack import lifecycle
from deployments.stack.lifecycle import Stack
from mof_benchmark.calculators import registry
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.structures import builtin
from mofsim_settings import Settings

GOAL_PERCENT = 80.0
BATCH = 1000
BARE_CALLS = 20
BARE_CALLS_PLAIN = 5
LOOK_SECONDS = 1.0


def measure(structures: dict[str, int]) -> list[Figure]:
    """Rates of single points on one slot.

    Parameters
    ----------
    structures
        Number of tasks by built-in structure; the first one has the goal.
    """
    home = Path(tempfile.mkdtemp(prefix="mofsim-bench-"))
    figures: list[Figure] = []
    try:
        stack = lifecycle.up(home, port=0, slots=1)
        try:
            with MOFSimClient(home=home) as client:
                for number, (structure, count) in enumerate(structures.items()):
                    figures += _of_structure(client, stack, structure, count, with_goal=number == 0)
        finally:
            lifecycle.down(home, wait_for_tasks=False)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return figures


def _of_structure(
    client: MOFSimClient, stack: Stack, structure: str, count: int, *, with_goal: bool
) -> list[Figure]:
    client.submit_single_point(structure, MODEL).wait()
    ours = bare_seconds(structure, stack.settings, BARE_CALLS, plain=False)
    plain = bare_seconds(structure, stack.settings, BARE_CALLS_PLAIN, plain=True)
    seconds = seconds_per_task(client, stack, structure, count)
    what = f"{count} single points of {structure} ({len(builtin.build(structure))} atoms)"
    note = "real stack, one slot; from the start of the first task to the end of the last"
    return [
        Figure(f"{what}: a bare call, fused model", 1000 * ours, "ms", note=note),
        Figure(f"{what}: a bare call, the package's own model", 1000 * plain, "ms", note=note),
        Figure(f"{what}: a task", 1000 * seconds, "ms", note=note),
        Figure(
            f"{what}: of the rate of a bare loop with the package's own model",
            100 * plain / seconds,
            "%",
            at_least=GOAL_PERCENT if with_goal else None,
            note=note,
        ),
        Figure(
            f"{what}: of the rate of a bare loop with the fused model", 100 * ours / seconds, "%", note=note
        ),
    ]


def bare_seconds(structure: str, settings: Settings, calls: int, *, plain: bool) -> float:
    """Median seconds of a force call in a bare loop on the slot's device, while the stack idles."""
    card = registry.card(MODEL)
    if plain:
        card = replace(card, settings={**card.settings, "accelerate": False})
    device = choose_device(settings)
    calculator = MeteredCalculator(load_card(card, device=device, models_dir=settings.models_dir))
    atoms = builtin.build(structure)
    seconds = []
    for _ in range(calls + 2):
        calculator.reset()
        started = time.perf_counter()
        calculator.calculate(atoms, ["energy", "forces", "stress"])
        seconds.append(time.perf_counter() - started)
    # The first calls compile.
    return statistics.median(seconds[2:])


def seconds_per_task(client: MOFSimClient, stack: Stack, structure: str, count: int) -> float:
    """Seconds that a task takes on average where the next is always waiting."""
    batches = [
        client.submit_batch([SinglePoint(structure, MODEL) for _ in range(min(BATCH, count - start))])
        for start in range(0, count, BATCH)
    ]
    ids = [task.id for batch in batches for task in batch]
    with psycopg.connect(stack.settings.database.url.get_secret_value(), autocommit=True) as database:
        while True:
            row = database.execute(
                "SELECT count(*) FILTER (WHERE status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')),"
                " count(*) FILTER (WHERE status = 'COMPLETED'),"
                " extract(epoch FROM max(ended_at) - min(started_at))::float8 FROM tasks WHERE id = ANY(%s)",
                [ids],
            ).fetchone()
            ended, completed, seconds = row or (0, 0, 0.0)
            if ended == count:
                break
            time.sleep(LOOK_SECONDS)
    if completed != count:
        raise RuntimeError(f"only {completed} of {count} tasks completed")
    return float(seconds) / count
