"""How much faster than the plain road, at the same answer: `./mofsim bench compute`.

The plain road is the benchmark's own: ASE with sevenn's calculator and torch-dftd, and the published
algorithm of the task. It and ours run in turn (A B A B) in one process, so that a busy machine
disturbs both alike. Where the plain road would take longer than `--budget`, only its force call is
timed, in turn with ours, and multiplied by its number of calls: the reference's where there is one,
else as many as the published algorithm takes on the fused model. The output says which.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from rich.table import Table

from deployments.bench._roads import (
    DATA,
    Clock,
    Cost,
    one_thread,
    our_potential,
    plain_potential,
    references,
    structure,
)
from mof_benchmark.calculations import (
    bulk_modulus,
    heat_capacity,
    interaction_energy,
    optimization,
    single_point,
    stability,
)
from mof_benchmark.calculations.dynamics import make_integrator
from mof_benchmark.calculations.preparation import bare
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.monitor import SilentMonitor
from mof_benchmark.schemas import (
    BulkModulusParameters,
    CalculationResult,
    HeatCapacityParameters,
    InteractionEnergyParameters,
    OptimizationParameters,
    SinglePointParameters,
    StabilityParameters,
)

STRUCTURES = ("RSM0004", "RSM0009", "RSM0011", "RSM0020", "MgMOF74", "MOF-5_primitive")
PORES = ("MgMOF74", "Zn-MOF-74", "MOF-5_primitive", "UiO-66_primitive", "LTA", "zif-8")
"""Frameworks with room for a guest."""
BUILTIN = ("SOD", "CALF-20", "Mg-MOF-74", "MOF-5", "UiO-66", "LTA")
"""Without the shared data."""
QUICK = ("RSM0004", "RSM0009")
CALL_SAMPLES = 3

MEASURED = "run"
BY_REFERENCE = "calls of reference.json"
BY_COUNTING = "calls counted on the fused model"


@dataclass(frozen=True)
class Done:
    """One run of one road, as far as its answer goes."""

    calls: int
    converged: bool
    answers: dict[str, float | None]


Road = Callable[[Atoms, MeteredCalculator, Path], Done]


@dataclass(frozen=True)
class Task:
    """One comparison: the published road and ours, and how much faster ours is meant to be."""

    plain: Road
    ours: Road
    goal: float | None = None
    structures: tuple[str, ...] = STRUCTURES
    reference_calls: Callable[[dict[str, Any]], int] | None = None


def calculation(run: Callable[..., CalculationResult], parameters: Any, *answers: str) -> Road:
    """One of the six calculations as a road."""

    def road(atoms: Atoms, calculator: MeteredCalculator, workdir: Path) -> Done:
        result = run(atoms, calculator, parameters, workdir=workdir)
        found = {name: getattr(result, name) for name in answers}
        return Done(result.metrics.force_evaluations, result.converged, found)

    return road


DYNAMICS = StabilityParameters.model_validate({"nvt": {"steps": 0}, "npt": {"steps": 40}, "seed": 7})


def our_dynamics(atoms: Atoms, calculator: MeteredCalculator, workdir: Path) -> Done:
    """The production stage of a stability run, with its samples and checkpoints."""
    run = stability.dynamics(atoms, calculator, DYNAMICS, "npt", workdir=workdir, monitor=SilentMonitor())
    return Done(calculator.force_evaluations, True, {"last_energy_eV": run.series.potential_energy_eV[-1]})


def plain_dynamics(atoms: Atoms, calculator: MeteredCalculator, workdir: Path) -> Done:
    """The same integrator and seed by ASE alone."""
    moving = bare(atoms)
    generator = np.random.default_rng([DYNAMICS.seed, 1])
    MaxwellBoltzmannDistribution(moving, temperature_K=DYNAMICS.npt.temperature_K, rng=generator)
    Stationary(moving)
    calculator.start()
    moving.calc = calculator
    integrator = make_integrator(moving, DYNAMICS.npt, generator)
    with Trajectory(workdir / "npt.traj", "w", moving) as trajectory:
        integrator.attach(trajectory.write, interval=DYNAMICS.trajectory_interval)
        integrator.run(DYNAMICS.npt.steps)
    return Done(calculator.force_evaluations, True, {"last_energy_eV": moving.get_potential_energy()})


SEARCH = InteractionEnergyParameters(mode="search", n_poses=20, seed=1, max_steps=40)

relaxation = partial(calculation, optimization.run)
TASKS: dict[str, Task] = {
    "single-point": Task(
        *(calculation(single_point.run, SinglePointParameters(), "energy_per_atom_eV"),) * 2,
    ),
    "optimization": Task(
        relaxation(OptimizationParameters(protocol="mofsimbench"), "final_energy_eV", "final_volume_A3"),
        relaxation(OptimizationParameters(max_steps=5000), "final_energy_eV", "final_volume_A3"),
        goal=3,
        reference_calls=lambda known: int(known["optimization"]["force_calls"]),
    ),
    "optimization-fast": Task(
        relaxation(OptimizationParameters(protocol="mofsimbench"), "final_energy_eV", "final_volume_A3"),
        relaxation(
            OptimizationParameters(optimizer="ModelHessianLBFGS", max_steps=5000),
            "final_energy_eV",
            "final_volume_A3",
        ),
        goal=10,
        reference_calls=lambda known: int(known["optimization"]["force_calls"]),
    ),
    "bulk-modulus": Task(
        calculation(
            bulk_modulus.run,
            BulkModulusParameters(protocol="mofsimbench"),
            "bulk_modulus_GPa",
            "equilibrium_volume_A3",
        ),
        calculation(bulk_modulus.run, BulkModulusParameters(), "bulk_modulus_GPa", "equilibrium_volume_A3"),
        goal=30,
        reference_calls=lambda known: int(
            known["optimization"]["force_calls"] + known["bulk_modulus"]["force_calls_of_the_11_points"]
        ),
    ),
    "heat-capacity": Task(
        calculation(
            heat_capacity.run, HeatCapacityParameters(protocol="mofsimbench"), "heat_capacity_300K_J_mol_K"
        ),
        calculation(heat_capacity.run, HeatCapacityParameters(), "heat_capacity_300K_J_mol_K"),
        goal=5,
        reference_calls=lambda known: int(known["heat_capacity"]["force_calls_with_optimization"]),
    ),
    "dynamics": Task(plain_dynamics, our_dynamics, goal=3),
    "interaction-energy": Task(
        *(calculation(interaction_energy.run, SEARCH, "interaction_energy_kJ_mol"),) * 2,
        goal=5,
        structures=PORES,
    ),
}


@dataclass(frozen=True)
class Outcome:
    """One road on one structure; its cost is the median over the rounds."""

    cost: Cost
    done: Done


@dataclass(frozen=True)
class Comparison:
    """Both roads on one structure; `how` says how the plain road's cost was found."""

    task: str
    structure: str
    how: str
    plain: Outcome
    ours: Outcome

    @property
    def wall_ratio(self) -> float:
        return self.plain.cost.wall_s / self.ours.cost.wall_s

    @property
    def cpu_ratio(self) -> float:
        return self.plain.cost.cpu_s / self.ours.cost.cpu_s

    @property
    def calls_ratio(self) -> float:
        return self.plain.done.calls / self.ours.done.calls


@dataclass(frozen=True)
class Roads:
    """Both calculators, warm."""

    plain: MeteredCalculator
    ours: MeteredCalculator

    @classmethod
    def on(cls, potential: Potential, atoms: Atoms) -> Roads:
        roads = cls(
            MeteredCalculator(plain_potential(potential), with_d3=False), MeteredCalculator(potential)
        )
        # torch's compiler settles within the first calls.
        for _ in range(3):
            call_cost(roads.plain, atoms)
            call_cost(roads.ours, atoms)
        return roads


def call_cost(calculator: MeteredCalculator, atoms: Atoms) -> Cost:
    """Of one evaluation."""
    moved = bare(atoms)
    moved.rattle(1e-3, rng=np.random.default_rng())
    clock = Clock()
    calculator.get_property("energy", moved)
    return clock.cost()


def measure(road: Road, atoms: Atoms, calculator: MeteredCalculator) -> Outcome:
    """Run one road once, in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="mofsim-bench-") as folder:
        clock = Clock()
        done = road(atoms, calculator, Path(folder))
        return Outcome(clock.cost(), done)


def compare(
    name: str, structure_name: str, potential: Potential, *, rounds: int, budget_s: float
) -> Comparison:
    """Run both roads in turn, or ours in turn with calls of the plain one where that is too slow."""
    task, atoms = TASKS[name], structure(structure_name)
    roads = Roads.on(potential, atoms)
    first_call = median([call_cost(roads.plain, atoms) for _ in range(CALL_SAMPLES)])
    expected, how = expect(task, structure_name, atoms, potential)
    affordable = rounds * expected.calls * first_call.wall_s <= budget_s
    plain, ours = [], []
    for _ in range(rounds):
        if affordable:
            plain.append(measure(task.plain, atoms, roads.plain))
        else:
            calls = [call_cost(roads.plain, atoms) for _ in range(CALL_SAMPLES)]
            plain.append(Outcome(median(calls).times(expected.calls), expected))
        ours.append(measure(task.ours, atoms, roads.ours))
    medians = (Outcome(median([o.cost for o in road]), road[-1].done) for road in (plain, ours))
    return Comparison(name, Path(structure_name).stem, MEASURED if affordable else how, *medians)


def expect(task: Task, structure_name: str, atoms: Atoms, potential: Potential) -> tuple[Done, str]:
    """What the plain road will come to, by the reference or by its algorithm on the fused model."""
    counted = measure(task.plain, atoms, MeteredCalculator(potential)).done
    if task.reference_calls is not None:
        try:
            calls = task.reference_calls(references()[structure_name])
        except KeyError:
            return counted, BY_COUNTING
        return Done(calls, counted.converged, counted.answers), BY_REFERENCE
    return counted, BY_COUNTING


def median(costs: list[Cost]) -> Cost:
    return Cost(
        wall_s=statistics.median(cost.wall_s for cost in costs),
        cpu_s=statistics.median(cost.cpu_s for cost in costs),
    )


def table_of(comparisons: list[Comparison]) -> Table:
    """Both roads side by side."""
    table = Table(
        "task", "structure", "plain s (CPU)", "ours s (CPU)", "wall", "CPU", "calls", "", "answers", ""
    )
    for column in table.columns:
        column.overflow = "fold"
    for comparison in comparisons:
        plain, ours = comparison.plain, comparison.ours
        table.add_row(
            comparison.task,
            comparison.structure,
            f"{plain.cost.wall_s:.1f} ({plain.cost.cpu_s:.1f})",
            f"{ours.cost.wall_s:.2f} ({ours.cost.cpu_s:.2f})",
            f"{comparison.wall_ratio:.1f}×",
            f"{comparison.cpu_ratio:.1f}×",
            f"{plain.done.calls} → {ours.done.calls}",
            f"{comparison.calls_ratio:.1f}×",
            _answers(plain.done, ours.done),
            comparison.how,
        )
    return table


def _answers(plain: Done, ours: Done) -> str:
    text = "; ".join(
        f"{name} {_figure(plain.answers[name])} → {_figure(ours.answers[name])}" for name in plain.answers
    )
    unconverged = [road for road, done in (("plain", plain), ("ours", ours)) if not done.converged]
    return text + (f" (not converged: {', '.join(unconverged)})" if unconverged else "")


def summary_of(comparisons: list[Comparison], *, on_gpu: bool) -> Table:
    """Medians of the ratios against the goals: of CPU time, or of wall time where a GPU computes."""
    table = Table("task", "structures", "wall", "CPU", "force evaluations", "goal", "")
    for name in dict.fromkeys(comparison.task for comparison in comparisons):
        mine = [comparison for comparison in comparisons if comparison.task == name]
        goal = TASKS[name].goal
        wall = statistics.median(comparison.wall_ratio for comparison in mine)
        cpu = statistics.median(comparison.cpu_ratio for comparison in mine)
        reached = (wall if on_gpu else cpu) >= (goal or 0)
        table.add_row(
            name,
            str(len(mine)),
            f"{wall:.1f}×",
            f"{cpu:.1f}×",
            f"{statistics.median(c.calls_ratio for c in mine):.1f}×",
            "" if goal is None else f"≥ {goal:g}×",
            "" if goal is None else ("reached" if reached else "MISSED"),
        )
    return table


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"


def structures_for(task: str, options: argparse.Namespace) -> tuple[str, ...]:
    if options.structure:
        return tuple(options.structure)
    if not DATA.is_dir():
        return BUILTIN[:2] if options.quick else BUILTIN
    if options.quick:
        return TASKS[task].structures[:1] if task == "interaction-energy" else QUICK
    return TASKS[task].structures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench compute", description=__doc__)
    parser.add_argument("--task", choices=TASKS, action="append", help="repeatable; default: all")
    parser.add_argument(
        "--structure", action="append", help="path, name in ../shared/data or built-in; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each road")
    parser.add_argument(
        "--budget", type=float, default=60.0, help="seconds the plain road may take for one comparison"
    )
    parser.add_argument("--quick", action="store_true", help="one round on the smallest structures")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/compute.json"), help="where to write")
    options = parser.parse_args(argv)
    rounds = 1 if options.quick else options.rounds
    with one_thread() as console:
        potential = our_potential(options.device)
        comparisons = []
        for task in options.task or TASKS:
            for name in structures_for(task, options):
                found = compare(task, name, potential, rounds=rounds, budget_s=options.budget)
                comparisons.append(found)
                console.print(
                    f"{task} of {found.structure}: {found.cpu_ratio:.1f}× less CPU time, "
                    f"{found.wall_ratio:.1f}× less wall time ({found.how})"
                )
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps([asdict(c) for c in comparisons], indent=2) + "\n")
        console.print(table_of(comparisons))
        console.print(summary_of(comparisons, on_gpu=options.device != "cpu"))
        console.print(f"Written to {options.json}.")


if __name__ == "__main__":
    main()
