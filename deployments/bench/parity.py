"""Ours beside the published road on the same inputs: `./mofsim bench parity`.

Relaxations, bulk moduli and heat capacities are held against numbers made with the benchmark's own
scripts (`../shared/data/reference`), single points against its calculator, run here and now; the
command fails when a figure lies outside its tolerance. Beside that, bulk moduli and heat capacities
stand next to published DFT values (`../shared/data/dft`): from these a model is expected to differ.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from deployments.bench._roads import (
    DATA,
    one_thread,
    our_potential,
    plain_calculators,
    references,
    structure,
)
from mof_benchmark.calculations import bulk_modulus, heat_capacity, optimization, single_point
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.schemas import (
    BulkModulusParameters,
    CalculationResult,
    HeatCapacityParameters,
    OptimizationParameters,
    SinglePointParameters,
)


@dataclass(frozen=True)
class Figure:
    """One number of ours beside the reference's; `allowed` is the tolerance, None where none is set."""

    task: str
    structure: str
    name: str
    reference: float
    ours: float
    allowed: float | None

    @property
    def difference(self) -> float:
        return self.ours - self.reference

    @property
    def holds(self) -> bool:
        return self.allowed is None or abs(self.difference) <= self.allowed


RUNS: dict[str, tuple[Callable[..., CalculationResult], Any]] = {
    "single_point": (single_point.run, SinglePointParameters()),
    "optimization": (optimization.run, OptimizationParameters()),
    "bulk_modulus": (bulk_modulus.run, BulkModulusParameters()),
    "heat_capacity": (heat_capacity.run, HeatCapacityParameters()),
}


class Ours:
    """Our results, each computed once."""

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self._results: dict[tuple[str, str], Any] = {}

    def __call__(self, task: str, name: str) -> Any:
        if (task, name) not in self._results:
            run, parameters = RUNS[task]
            with tempfile.TemporaryDirectory(prefix="mofsim-bench-") as folder:
                calculator = MeteredCalculator(self.potential)
                result = run(structure(name), calculator, parameters, workdir=Path(folder))
            self._results[task, name] = result
        return self._results[task, name]


Figures = Iterator[tuple[str, float, float, float | None]]
"""Name, reference, ours, allowed difference."""


def compare_single_point(name: str, ours: Ours, reference: dict[str, Any]) -> Figures:
    """Against the benchmark's calculator, evaluated now: 1e-6 eV/atom, 1e-4 eV/Å."""
    atoms, result = structure(name), ours("single_point", name)
    model, dispersion = plain_calculators(ours.potential.device)
    for calculator in (model, dispersion):
        calculator.calculate(atoms, ["energy", "forces"])
    # The model's own total is a float32: for a large cell rounded by as much as is allowed.
    plain = float(model.results["energies"].sum(dtype=float) + dispersion.results["energy"]) / len(atoms)
    yield "energy, eV/atom", plain, result.energy_per_atom_eV, 1e-6
    forces = model.results["forces"] + dispersion.results["forces"]
    worst = np.abs(np.asarray(result.forces_eV_A) - forces).max()
    yield "largest force difference, eV/Å", 0.0, float(worst), 1e-4


def compare_optimization(name: str, ours: Ours, reference: dict[str, Any]) -> Figures:
    """Energy within 1e-4 eV/atom, volume within 0.1 %."""
    n_atoms, result = len(structure(name)), ours("optimization", name)
    energy, volume = reference["final_energy_eV"] / n_atoms, reference["final_volume_A3"]
    yield "final energy, eV/atom", energy, result.final_energy_eV / n_atoms, 1e-4
    yield "final volume, Å³", volume, result.final_volume_A3, 1e-3 * volume
    yield "force evaluations", reference["force_calls"], result.metrics.force_evaluations, None


def compare_bulk_modulus(name: str, ours: Ours, reference: dict[str, Any]) -> Figures:
    """Bulk modulus within 2 %, volume within 0.2 %."""
    n_atoms, result = len(structure(name)), ours("bulk_modulus", name)
    modulus, volume = reference["bulk_modulus_GPa"], reference["equilibrium_volume_A3"]
    yield "bulk modulus, GPa", modulus, result.bulk_modulus_GPa, 0.02 * modulus
    yield "equilibrium volume, Å³", volume, result.equilibrium_volume_A3, 2e-3 * volume
    energy = reference["equilibrium_energy_eV"] / n_atoms
    yield "equilibrium energy, eV/atom", energy, result.equilibrium_energy_eV / n_atoms, 1e-4


def compare_heat_capacity(name: str, ours: Ours, reference: dict[str, Any]) -> Figures:
    """Cv(300 K) within 0.5 %; the other sums over the same phonons are held to as much."""
    result = ours("heat_capacity", name)
    at = {round(temperature): k for k, temperature in enumerate(result.temperatures_K)}
    for what, known, found in (
        ("Cv(300 K), J/(mol K)", "cv_300K_J_molK", result.heat_capacity_300K_J_mol_K),
        ("Cv(300 K), J/(g K)", "cv_300K_J_gK", result.heat_capacity_300K_J_g_K),
        ("Cv(100 K), J/(mol K)", "cv_100K_J_molK", result.heat_capacity_J_mol_K[at[100]]),
        ("S(300 K), J/(mol K)", "entropy_300K_J_molK", result.entropy_J_mol_K[at[300]]),
        ("F(300 K), kJ/mol", "free_energy_300K_kJ_mol", result.free_energy_kJ_mol[at[300]]),
    ):
        yield what, reference[known], found, 5e-3 * abs(reference[known])
    calls = reference["force_calls_with_optimization"]
    yield "force evaluations", calls, result.metrics.force_evaluations, None


COMPARISONS: dict[str, Callable[[str, Ours, dict[str, Any]], Figures]] = {
    "single_point": compare_single_point,
    "optimization": compare_optimization,
    "bulk_modulus": compare_bulk_modulus,
    "heat_capacity": compare_heat_capacity,
}


def tasks_with_references() -> dict[str, dict[str, dict[str, Any]]]:
    """Reference numbers by structure and task; every structure has a single point to compare."""
    return {name: {"single_point": {}, **tasks} for name, tasks in references().items()}


DFT = {
    "bulk_modulus": ("bulk_modulus.csv", "B0_GPa", "bulk_modulus_GPa", "bulk modulus, GPa"),
    "heat_capacity": (
        "heat_capacity_300K.csv",
        "heat_capacity_300K_J_gK",
        "heat_capacity_300K_J_g_K",
        "Cv(300 K), J/(g K)",
    ),
}


def dft_values(task: str) -> dict[str, float]:
    """Published DFT values of a task by structure; a primitive cell stands for the conventional one."""
    file, column, _, _ = DFT[task]
    with (DATA / "dft" / file).open() as table:
        values = {row["structure"]: float(row[column]) for row in csv.DictReader(table)}
    folder = DATA / "structures"
    here = {
        name: next((n for n in (name, f"{name}_primitive") if (folder / f"{n}.cif").exists()), None)
        for name in values
    }
    return {found: values[name] for name, found in here.items() if found is not None}


def table_of(figures: list[Figure]) -> Table:
    """Both side by side, with the tolerance."""
    table = Table("task", "structure", "figure", "reference", "ours", "difference", "allowed", "")
    for figure in figures:
        table.add_row(
            figure.task,
            figure.structure,
            figure.name,
            f"{figure.reference:.8g}",
            f"{figure.ours:.8g}",
            f"{figure.difference:+.2g}",
            "" if figure.allowed is None else f"± {figure.allowed:.2g}",
            "" if figure.allowed is None else ("holds" if figure.holds else "MISSED"),
        )
    return table


def dft_table_of(figures: list[Figure]) -> Table:
    """Ours beside DFT, with the relative difference."""
    table = Table("structure", "figure", "DFT", "ours", "difference")
    for figure in figures:
        table.add_row(
            figure.structure,
            figure.name,
            f"{figure.reference:.4g}",
            f"{figure.ours:.4g}",
            f"{100 * figure.difference / figure.reference:+.1f} %",
        )
    return table


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench parity", description=__doc__)
    parser.add_argument("--task", choices=COMPARISONS, action="append", help="repeatable; default: all")
    parser.add_argument(
        "--structure", action="append", help="name in ../shared/data; repeatable; default: all"
    )
    parser.add_argument("--no-dft", action="store_true", help="leave the published DFT values out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/parity.json"), help="where to write")
    options = parser.parse_args(argv)
    wanted = set(options.task or COMPARISONS)
    figures: list[Figure] = []
    beside: list[Figure] = []
    with one_thread() as console:
        if not references():
            parser.error(f"there are no reference numbers in {DATA}")
        ours = Ours(our_potential(options.device))
        for name, tasks in tasks_with_references().items():
            for task, reference in tasks.items():
                if task in wanted and name in (options.structure or [name]):
                    console.print(f"{task} of {name} …")
                    compared = COMPARISONS[task](name, ours, reference)
                    figures += [Figure(task, name, *figure) for figure in compared]
        for task in () if options.no_dft else sorted(DFT.keys() & wanted):
            for name, value in dft_values(task).items():
                if name in (options.structure or [name]):
                    console.print(f"{task} of {name} beside DFT …")
                    found = getattr(ours(task, name), DFT[task][2])
                    beside.append(Figure(task, name, DFT[task][3], value, found, None))
        console.print(table_of(figures))
        if beside:
            console.print(dft_table_of(beside))
        options.json.parent.mkdir(parents=True, exist_ok=True)
        document = {"reference": figures, "dft": beside}
        written = {kind: [asdict(figure) for figure in found] for kind, found in document.items()}
        options.json.write_text(json.dumps(written, indent=2) + "\n")
        console.print(f"Written to {options.json}.")
    raise SystemExit(0 if all(figure.holds for figure in figures) else 1)


if __name__ == "__main__":
    main()
