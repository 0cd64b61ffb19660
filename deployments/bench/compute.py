"""How much faster than the plain road, at the same answer: `./mofsim bench compute`.

The plain road is the benchmark's own: ASE with sevenn's calculator and torch-dftd, and the published
algorithm of the task. It and ours run in turn (A B A B) in one process, so that a busy machine
disturbs both alike. Prints wall time, force evaluations and their ratios, and writes JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.calculators.mixing import SumCalculator
from rich.console import Console
from rich.table import Table
from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator

from mof_benchmark.calculations import bulk_modulus, heat_capacity, optimization, single_point
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.schemas import CalculationResult, OptimizationParameters, SinglePointParameters
from mof_benchmark.schemas.bulk_modulus import BulkModulusParameters
from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters
from mof_benchmark.structures.reading import read_structure
from mofsim_settings import load_settings

MODEL = "sevennet_prod"
CHECKPOINT = "7net-0"
DATA = Path("../shared/data")
STRUCTURES = ("RSM0004", "RSM0009", "RSM0011", "RSM0020", "MgMOF74", "MOF-5_primitive")


@dataclass(frozen=True)
class Task:
    """One comparison: the calculation, its published settings and ours, and the answers to compare."""

    run: Callable[..., Any]
    published: Any
    ours: Any
    answers: tuple[str, ...]


TASKS: dict[str, Task] = {
    "single-point": Task(
        single_point.run, SinglePointParameters(), SinglePointParameters(), ("energy_per_atom_eV",)
    ),
    "optimization": Task(
        optimization.run,
        OptimizationParameters(protocol="mofsimbench"),
        OptimizationParameters(max_steps=5000),
        ("final_energy_eV", "final_volume_A3"),
    ),
    "optimization-fast": Task(
        optimization.run,
        OptimizationParameters(protocol="mofsimbench"),
        OptimizationParameters(optimizer="ModelHessianLBFGS", max_steps=5000),
        ("final_energy_eV", "final_volume_A3"),
    ),
    "bulk-modulus": Task(
        bulk_modulus.run,
        BulkModulusParameters(protocol="mofsimbench"),
        BulkModulusParameters(),
        ("bulk_modulus_GPa", "equilibrium_volume_A3"),
    ),
    "heat-capacity": Task(
        heat_capacity.run,
        HeatCapacityParameters(protocol="mofsimbench"),
        HeatCapacityParameters(),
        ("heat_capacity_300K_J_mol_K",),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """One run of one road."""

    seconds: float
    force_evaluations: int
    converged: bool
    answers: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """Both roads on one structure; seconds are medians over the rounds."""

    task: str
    structure: str
    plain: Outcome
    ours: Outcome

    @property
    def time_ratio(self) -> float:
        return self.plain.seconds / self.ours.seconds

    @property
    def evaluations_ratio(self) -> float:
        return self.plain.force_evaluations / self.ours.force_evaluations


def plain_potential(potential: Potential) -> Potential:
    """The benchmark's own calculator, SevenNet and torch-dftd summed by ASE, behind our contract.

    Parameters
    ----------
    potential
        Our potential of the same model, already loaded.
    """
    # sevenn can be imported once our adapter has allowed e3nn its constants.
    from sevenn.calculator import SevenNetCalculator

    device = potential.device
    model = SevenNetCalculator(CHECKPOINT, device=device)

    def make_calculator() -> Calculator:
        dispersion = TorchDFTD3Calculator(
            device=device, damping="bj", xc="pbe", cutoff=40.0 * units.Bohr, dtype=torch.float32
        )
        return SumCalculator([model, dispersion])

    return dataclasses.replace(potential, make_calculator=make_calculator, accelerator=None)


def structure(name: str) -> Atoms:
    """Read a structure by path, or by name from the shared data."""
    path = Path(name)
    return read_structure(path if path.exists() else DATA / "structures" / f"{name}.cif").atoms


def measure(task: Task, atoms: Atoms, calculator: MeteredCalculator, parameters: Any) -> Outcome:
    """Run one road once, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="mofsim-bench-") as folder:
        started = time.perf_counter()
        result: CalculationResult = task.run(atoms, calculator, parameters, workdir=Path(folder))
        seconds = time.perf_counter() - started
    return Outcome(
        seconds=seconds,
        force_evaluations=result.metrics.force_evaluations,
        converged=result.converged,
        answers={name: getattr(result, name) for name in task.answers},
    )


def compare(name: str, atoms: Atoms, structure_name: str, potential: Potential, *, rounds: int) -> Comparison:
    """Run both roads in turn, A B A B, after one evaluation each that nobody times."""
    task = TASKS[name]
    plain = MeteredCalculator(plain_potential(potential), with_d3=False)
    ours = MeteredCalculator(potential)
    for calculator in (plain, ours):
        for shift in range(3):
            # torch's compiler settles within the first calls.
            warm_up = atoms.copy()
            warm_up.rattle(1e-3, seed=shift)
            calculator.get_property("energy", warm_up)
    outcomes: tuple[list[Outcome], list[Outcome]] = ([], [])
    for _ in range(rounds):
        outcomes[0].append(measure(task, atoms, plain, task.published))
        outcomes[1].append(measure(task, atoms, ours, task.ours))
    return Comparison(name, structure_name, *(_median(road) for road in outcomes))


def _median(outcomes: list[Outcome]) -> Outcome:
    seconds = statistics.median(outcome.seconds for outcome in outcomes)
    return dataclasses.replace(outcomes[-1], seconds=seconds)


def table_of(comparisons: list[Comparison]) -> Table:
    """Both roads side by side, with the medians of the ratios last."""
    table = Table(
        "task", "structure", "plain s", "ours s", "time", "plain calls", "ours calls", "calls", "answers"
    )
    for comparison in comparisons:
        plain, ours = comparison.plain, comparison.ours
        answers = "; ".join(
            f"{name} {_figure(plain.answers[name])} → {_figure(ours.answers[name])}" for name in plain.answers
        )
        unconverged = [road for road, it in (("plain", plain), ("ours", ours)) if not it.converged]
        if unconverged:
            answers += f" (not converged: {', '.join(unconverged)})"
        table.add_row(
            comparison.task,
            comparison.structure,
            f"{plain.seconds:.2f}",
            f"{ours.seconds:.2f}",
            f"{comparison.time_ratio:.1f}×",
            str(plain.force_evaluations),
            str(ours.force_evaluations),
            f"{comparison.evaluations_ratio:.1f}×",
            answers,
        )
    for task in dict.fromkeys(comparison.task for comparison in comparisons):
        mine = [comparison for comparison in comparisons if comparison.task == task]
        table.add_row(
            task,
            f"median of {len(mine)}",
            "",
            "",
            f"{statistics.median(c.time_ratio for c in mine):.1f}×",
            "",
            "",
            f"{statistics.median(c.evaluations_ratio for c in mine):.1f}×",
            "",
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench compute", description=__doc__)
    parser.add_argument("--task", choices=TASKS, action="append", help="repeatable; default: optimization")
    parser.add_argument("--structure", action="append", help="path, or name in ../shared/data; repeatable")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each road")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/compute.json"), help="where to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    console = Console()
    potential = load_potential(MODEL, device=options.device, models_dir=load_settings().models_dir)
    comparisons = []
    for task in options.task or ["optimization"]:
        for name in options.structure or STRUCTURES:
            comparison = compare(task, structure(name), Path(name).stem, potential, rounds=options.rounds)
            comparisons.append(comparison)
            console.print(f"{task} of {comparison.structure}: {comparison.time_ratio:.1f}× faster")
    console.print(table_of(comparisons))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(comparison) for comparison in comparisons], indent=2) + "\n")
    console.print(f"Written to {options.json}.")


if __name__ == "__main__":
    main()
