"""`./mofsim bench chaos`: run it all, print a table, write JSON, fail when a criterion does."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mofsim_client import MOFSimClient, MOFSimError, Task
from mofsim_client.results import OptimizationResult, Result, SinglePointResult
from rich.console import Console
from rich.table import Table

from deployments.bench.chaos import strikes
from deployments.bench.chaos.verdict import Criterion, Followed, judge
from deployments.bench.chaos.watch import Watch
from deployments.bench.chaos.work import KINDS, LONG, TOLERANCE_EV_PER_ATOM, Work, draw, right_energies_eV
from deployments.stack import lifecycle

PATIENCE_SECONDS = 300.0
"""For a recovery, and for the slots to be settled afterwards."""
LONGEST_PAUSE_SECONDS = 6.0
BATCH = 10

Submitted = list[tuple[Task[Any], Work]]


class Exercise:
    """The storm over one stack."""

    def __init__(self, client: MOFSimClient, watch: Watch, console: Console, rng: random.Random) -> None:
        self._client = client
        self._watch = watch
        self._console = console
        self._rng = rng
        self.submitted: Submitted = []

    def submit(self, count: int) -> None:
        drawn = [draw(self._rng) for _ in range(count)]
        for first in range(0, count, BATCH):
            batch = drawn[first : first + BATCH]
            tasks = self._client.submit_batch([work.submission(priority) for work, priority in batch])
            self.submitted += [(task, work) for task, (work, _) in zip(tasks, batch, strict=True)]

    def storm(self, planned: Sequence[tuple[str, strikes.Strike]], tasks: int) -> list[Followed]:
        """Strike, wait for the recovery, strike again; half of the tasks come between the strikes."""
        self.submit(tasks // 2)
        followed: list[Followed] = []
        for number, (kind, strike) in enumerate(planned, 1):
            self._wait_for(lambda: self._watch.running() > 0, 30.0)
            time.sleep(self._rng.uniform(0.5, LONGEST_PAUSE_SECONDS))
            one = Followed(number, kind, "", datetime.now(UTC), self._watch.running())
            blow = strike(self._watch, self._rng)
            struck = time.monotonic()
            one.victim = blow.victim
            if self._wait_for(blow.recovered, PATIENCE_SECONDS):
                one.recovered_seconds = round(time.monotonic() - struck, 2)
            followed.append(one)
            self._console.print(
                f"{number}/{len(planned)} {one.victim}: {_seconds(one.recovered_seconds)}, "
                f"{self._watch.unfinished()} tasks to go"
            )
            self.submit(tasks * number // (2 * len(planned)) + tasks // 2 - len(self.submitted))
        self.submit(tasks - len(self.submitted))
        return followed

    def wait_for_the_end(self) -> bool:
        """Whether every task ended; a wedged stack shows by nothing ending any more."""
        left, since = self._watch.unfinished(), time.monotonic()
        while left and time.monotonic() - since < PATIENCE_SECONDS:
            time.sleep(1.0)
            if (now := self._watch.unfinished()) != left:
                left, since = now, time.monotonic()
        return left == 0

    def wrong_results(self, right: dict[Work, tuple[float, int]]) -> list[str]:
        """Tasks whose energy is not that of a direct calculation."""
        wrong = []
        for task, work in self.submitted:
            if not task.refresh().status.ended:
                wrong.append(task.id)
                continue
            try:
                found = _energy_eV(task.wait(timeout=PATIENCE_SECONDS))
            except MOFSimError as error:
                wrong.append(f"{task.id} ({error})")
                continue
            energy_eV, n_atoms = right[work]
            if not abs(found - energy_eV) <= TOLERANCE_EV_PER_ATOM * n_atoms:
                wrong.append(f"{task.id} ({found:.6f} eV instead of {energy_eV:.6f})")
        return wrong

    def idle_gpus(self, slots: int) -> list[int]:
        """GPUs that take none of a few rounds of new tasks."""
        missing = set(range(slots))
        for _ in range(3):
            # CRITICAL: the spare GPU takes no others.
            batch = self._client.submit_batch([LONG.submission("CRITICAL") for _ in range(slots)])
            self.submitted += [(task, LONG) for task in batch]
            if not self.wait_for_the_end():
                break
            missing -= {gpu for task in batch if (gpu := task.refresh().gpu_id) is not None}
            if not missing:
                break
        self._wait_for(self._settled, PATIENCE_SECONDS)
        return sorted(missing)

    def _settled(self) -> bool:
        rows = self._watch.rows("SELECT count(*) AS n FROM task_attempts WHERE released_at IS NULL")
        return rows is not None and rows[0]["n"] == 0

    def _wait_for(self, condition: strikes.Recovered, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True


def _energy_eV(result: Result) -> float:
    if isinstance(result, OptimizationResult):
        return result.final_energy_eV
    return result.energy_eV if isinstance(result, SinglePointResult) else float("nan")


def run(home: Path, options: argparse.Namespace, console: Console) -> tuple[list[Followed], list[Criterion]]:
    """Start a stack in `home`, let the storm go over it, judge, stop it."""
    rng = random.Random(options.seed)  # noqa: S311 - for repeating a run
    home.mkdir(parents=True, exist_ok=True)
    (home / "mofsim.toml").write_text(
        '[compute]\ndevice = "cpu"\nsimulated = true\n\n[storage]\ncare_schedule = ""\n'
    )
    stack = lifecycle.up(home, port=0, slots=options.slots)
    try:
        watch = Watch(stack)
        right = right_energies_eV(stack.settings.models_dir, [*KINDS, LONG])
        planned = strikes.plan(options.kills, rng, outage=options.outage)
        with MOFSimClient(home=home, max_retries=30) as client:
            exercise = Exercise(client, watch, console, rng)
            followed = exercise.storm(planned, options.tasks)
            console.print("The storm is over.")
            exercise.wait_for_the_end()
            idle_gpus = exercise.idle_gpus(options.slots)
            wrong = exercise.wrong_results(right)
            criteria = judge(
                watch, followed, submitted=len(exercise.submitted), wrong=wrong, idle_gpus=idle_gpus
            )
    finally:
        lifecycle.down(home, wait_for_tasks=False)
    return followed, criteria


def main() -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench chaos", description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--slots", type=int, default=8, help="simulated GPUs; each takes about 0.6 GB")
    parser.add_argument("--kills", type=int, default=27)
    parser.add_argument("--seed", type=int, default=1, help="of tasks, strikes and pauses")
    parser.add_argument("--outage", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--keep", action="store_true", help="keep the stack's home, to look at its logs")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/chaos.json"), help="where to write")
    options = parser.parse_args()
    console = Console()
    home = Path(tempfile.mkdtemp(prefix="mofsim-chaos-"))
    try:
        followed, criteria = run(home, options, console)
    finally:
        if options.keep:
            console.print(f"The home stays in {home}.")
        else:
            shutil.rmtree(home, ignore_errors=True)
    console.print(_strikes_table(followed))
    console.print(_criteria_table(criteria))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "options": {name: str(value) for name, value in vars(options).items()},
        "strikes": [asdict(one) for one in followed],
        "criteria": [asdict(one) for one in criteria],
    }
    options.json.write_text(json.dumps(document, indent=2, default=str) + "\n")
    console.print(f"Written to {options.json}.")
    raise SystemExit(0 if all(criterion.holds for criterion in criteria) else 1)


def _strikes_table(followed: list[Followed]) -> Table:
    table = Table("", "struck", "tasks running", "works again after", "attempts lost", "why")
    for one in followed:
        reasons = sorted({text.split(": ", 2)[-1][:60] for text in one.set_back})
        table.add_row(
            str(one.number),
            f"{one.kind}: {one.victim}",
            str(one.running),
            _seconds(one.recovered_seconds),
            str(len(one.set_back)),
            "; ".join(reasons),
        )
    return table


def _criteria_table(criteria: list[Criterion]) -> Table:
    table = Table("criterion", "found", "")
    for criterion in criteria:
        table.add_row(criterion.name, criterion.found, "holds" if criterion.holds else "MISSED")
    return table


def _seconds(value: float | None) -> str:
    return "not yet" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    main()
