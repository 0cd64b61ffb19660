"""What it costs that a model lives in another process: `./mofsim bench remote`.

Needs `./mofsim models install sevennet`: the newest sevenn, with its own e3nn, in an environment of
its own. Prints the time that a question takes beyond the model's own (as that process measures it),
for a small and a large structure, and how far its numbers are from mofsim's SevenNet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
from ase import Atoms
from ase.build import bulk
from rich.table import Table

from deployments.bench._roads import one_thread, our_potential
from mof_benchmark.calculators.contract import ModelCard
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.calculators.registry import environment_python
from mof_benchmark.calculators.remote.adapter import RemoteCalculator
from mofsim_settings import load_settings

CARD = ModelCard(
    name="sevennet_newest",
    display_name="SevenNet-0 as the newest sevenn reads it",
    framework="sevennet",
    with_d3=True,
    settings={"checkpoint": "7net-0", "minimum_version": "0.11"},
)
GOAL_MS = 5.0


def structures() -> dict[str, Atoms]:
    """A small crystal, and a large one whose atoms are too far apart to cost the model anything."""
    crystal = bulk("MgO", "rocksalt", a=4.25)
    crystal.rattle(0.05, seed=1)
    places = np.mgrid[0:8, 0:8, 0:8].reshape(3, -1).T * 8.0
    return {"MgO": crystal, "512 distant atoms": Atoms("He512", places, cell=[64.0] * 3, pbc=True)}


@dataclass(frozen=True)
class Overhead:
    """Medians, ms: the whole question, the model in its process, and what is between them.

    On a busy machine most of that is waiting for a core: the least of all calls tells.
    """

    structure: str
    question_ms: float
    model_ms: float
    overhead_ms: float
    least_overhead_ms: float


def measure(calculator: RemoteCalculator, name: str, atoms: Atoms, calls: int) -> Overhead:
    """Ask `calls` times."""
    questions, models = [], []
    for _ in range(calls):
        begun = time.perf_counter()
        calculator.calculate(atoms)
        questions.append(1e3 * (time.perf_counter() - begun))
        models.append(1e3 * calculator.model_seconds)
    overheads = [whole - model for whole, model in zip(questions, models, strict=True)]
    return Overhead(
        structure=name,
        question_ms=statistics.median(questions),
        model_ms=statistics.median(models),
        overhead_ms=statistics.median(overheads),
        least_overhead_ms=min(overheads),
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench remote", description=__doc__)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--models", type=Path, help="models folder (the settings' own by default)")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/remote.json"), help="where to write")
    options = parser.parse_args(argv)
    models_dir = options.models or load_settings().models_dir
    python = environment_python(CARD, models_dir)
    if python is None or not python.exists():
        parser.error("the environment is missing: ./mofsim models install sevennet")
    with one_thread() as console:
        newest = load_card(CARD, models_dir=models_dir)
        calculator = cast(RemoteCalculator, newest.make_calculator())
        figures = [measure(calculator, name, atoms, options.calls) for name, atoms in structures().items()]
        here, crystal = our_potential("cpu").make_calculator(), structures()["MgO"]
        for each in (here, calculator):
            each.calculate(crystal)
        apart = float(np.abs(here.results["forces"] - calculator.results["forces"]).max())
        table = Table("structure", "question ms", "model ms", "overhead ms", "least ms", f"< {GOAL_MS:g} ms")
        for figure in figures:
            values = (figure.question_ms, figure.model_ms, figure.overhead_ms, figure.least_overhead_ms)
            reached = "reached" if figure.overhead_ms < GOAL_MS else "MISSED"
            table.add_row(figure.structure, *(f"{value:.2f}" for value in values), reached)
        console.print(table)
        console.print(f"{newest.package_versions}; forces apart by at most {apart:.1e} eV/Å")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    document = {"versions": newest.package_versions, "overheads": [asdict(figure) for figure in figures]}
    options.json.write_text(json.dumps(document, indent=2) + "\n")
    raise SystemExit(0 if all(figure.overhead_ms < GOAL_MS for figure in figures) else 1)


if __name__ == "__main__":
    main()
