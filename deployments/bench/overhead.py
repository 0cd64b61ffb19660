"""What the system costs beside the physics: `./mofsim bench overhead`.

In one run, on a stack of its own: start and first submission, a warm single point from `POST` to
COMPLETED against the bare force call (in turn, so that a busy machine disturbs both alike), and the
acceptance of a full batch. Prints a table, writes JSON, and fails when a figure misses its limit.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ase import Atoms
from mofsim_client import MOFSimClient
from mofsim_client.requests import SinglePoint
from rich.console import Console
from rich.table import Table

from deployments.hosts.plugin import choose_device
from deployments.stack import lifecycle
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.structures import builtin
from mofsim_settings import Settings

STRUCTURE = "Mg-MOF-74"
MODEL = "sevennet_prod"
ROUNDS = 20
BATCH = 1000


@dataclass(frozen=True)
class Figure:
    """One measured number beside its limit, both in seconds."""

    name: str
    seconds: float
    limit_seconds: float | None = None

    @property
    def holds(self) -> bool:
        return self.limit_seconds is None or self.seconds <= self.limit_seconds


def measure(home: Path, console: Console) -> list[Figure]:
    """Start a stack in `home`, measure, stop it."""
    started_at = time.monotonic()
    stack = lifecycle.up(home, port=0, slots=1, enough="gateway")
    try:
        up = time.monotonic() - started_at
        console.print(f"The gateway serves after {up:.1f} s.")
        with MOFSimClient(home=home) as client:
            first = client.submit_single_point(STRUCTURE, MODEL)
            submitted = time.monotonic() - started_at
            first.wait()
            console.print("The model is warm.")
            whole, bare = _in_turn(client, stack.settings)
            accepted = _seconds(
                lambda: client.submit_batch([SinglePoint(STRUCTURE, MODEL) for _ in range(BATCH)])
            )
    finally:
        lifecycle.down(home, wait_for_tasks=False)
    overheads = [task - call for task, call in zip(whole, bare, strict=True)]
    return [
        Figure("gateway up", up),
        Figure("gateway up and a task submitted", submitted, 25.0),
        Figure(f"warm single point of {STRUCTURE}, POST to COMPLETED (median of {ROUNDS})", _median(whole)),
        Figure(f"the bare force call (median of {ROUNDS})", _median(bare)),
        Figure("overhead of a warm single point (median)", _median(overheads), 0.5),
        Figure(f"{BATCH} tasks accepted in one batch", accepted, 3.0),
    ]


def _in_turn(client: MOFSimClient, settings: Settings) -> tuple[list[float], list[float]]:
    """Seconds of tasks and of bare force calls on the slot's device, one of each at a time."""
    device = choose_device(settings)
    calculator = MeteredCalculator(load_potential(MODEL, device=device, models_dir=settings.models_dir))
    atoms = builtin.build(STRUCTURE)
    _force_call(atoms, calculator)
    whole, bare = [], []
    for _ in range(ROUNDS):
        whole.append(_seconds(lambda: client.submit_single_point(STRUCTURE, MODEL).wait()))
        bare.append(_seconds(lambda: _force_call(atoms, calculator)))
    return whole, bare


def _force_call(atoms: Atoms, calculator: MeteredCalculator) -> None:
    calculator.reset()
    calculator.calculate(atoms, ["energy", "forces", "stress"])


def _seconds(call: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    call()
    return time.perf_counter() - started_at


def _median(values: list[float]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench overhead", description=__doc__)
    parser.add_argument(
        "--json", type=Path, default=Path("mofsim-bench/overhead.json"), help="where to write"
    )
    output: Path = parser.parse_args().json
    console = Console()
    home = Path(tempfile.mkdtemp(prefix="mofsim-bench-"))
    try:
        figures = measure(home, console)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    table = Table("figure", "seconds", "limit", "")
    for figure in figures:
        limit = "" if figure.limit_seconds is None else f"≤ {figure.limit_seconds:g}"
        verdict = "" if figure.limit_seconds is None else ("holds" if figure.holds else "MISSED")
        table.add_row(figure.name, f"{figure.seconds:.3f}", limit, verdict)
    console.print(table)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    console.print(f"Written to {output}.")
    raise SystemExit(0 if all(figure.holds for figure in figures) else 1)


if __name__ == "__main__":
    main()
