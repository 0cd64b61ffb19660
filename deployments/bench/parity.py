"""Ours beside the published road on the same inputs: `./mofsim bench parity`.

Relaxations, bulk moduli and heat capacities are held against numbers made with the benchmark's own
scripts (`../shared/data/reference`), single points against its calculator, run here and now. Fails
when a figure lies outside its tolerance.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from rich.console import Console
from rich.table import Table

from deployments.bench.compute import DATA, MODEL, plain_potential, structure
from mof_benchmark.calculations import bulk_modulus, heat_capacity, optimization, single_point
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.schemas import OptimizationParameters, SinglePointParameters
from mof_benchmark.schemas.bulk_modulus import BulkModulusParameters
from mof_benchmark.schemas.heat_capacity import HeatCapacityParameters
from mofsim_settings import load_settings


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


Figures = Iterator[tuple[str, float, float, float | None]]
"""Name, reference, ours, allowed difference."""


def compare_single_point(
    atoms: Atoms, potential: Potential, reference: dict[str, Any], folder: Path
) -> Figures:
    """Against the benchmark's calculator, evaluated now."""
    roads = (MeteredCalculator(potential), MeteredCalculator(plain_potential(potential), with_d3=False))
    ours, plain = (
        single_point.run(atoms, calculator, SinglePointParameters(), workdir=folder) for calculator in roads
    )
    yield "energy, eV/atom", plain.energy_per_atom_eV, ours.energy_per_atom_eV, 1e-6
    worst = np.abs(np.asarray(ours.forces_eV_A) - np.asarray(plain.forces_eV_A)).max()
    yield "largest force difference, eV/Å", 0.0, float(worst), 1e-4


def compare_optimization(
    atoms: Atoms, potential: Potential, reference: dict[str, Any], folder: Path
) -> Figures:
    """Energy within 1e-4 eV/atom, volume within 0.1 %."""
    result = optimization.run(atoms, MeteredCalculator(potential), OptimizationParameters(), workdir=folder)
    per_atom = reference["final_energy_eV"] / len(atoms)
    yield "final energy, eV/atom", per_atom, result.final_energy_eV / len(atoms), 1e-4
    volume = reference["final_volume_A3"]
    yield "final volume, Å³", volume, result.final_volume_A3 or 0.0, 1e-3 * volume
    yield "steps", reference["steps"], result.steps, None


def compare_bulk_modulus(
    atoms: Atoms, potential: Potential, reference: dict[str, Any], folder: Path
) -> Figures:
    """Bulk modulus within 2 %, volume within 0.2 %."""
    result = bulk_modulus.run(atoms, MeteredCalculator(potential), BulkModulusParameters(), workdir=folder)
    modulus, volume = reference["bulk_modulus_GPa"], reference["equilibrium_volume_A3"]
    yield "bulk modulus, GPa", modulus, result.bulk_modulus_GPa, 0.02 * modulus
    yield "equilibrium volume, Å³", volume, result.equilibrium_volume_A3, 2e-3 * volume


def compare_heat_capacity(
    atoms: Atoms, potential: Potential, reference: dict[str, Any], folder: Path
) -> Figures:
    """Heat capacity at 300 K within 0.5 %."""
    result = heat_capacity.run(atoms, MeteredCalculator(potential), HeatCapacityParameters(), workdir=folder)
    capacity = reference["cv_300K_J_molK"]
    yield "Cv(300 K), J/(mol K)", capacity, result.heat_capacity_300K_J_mol_K or 0.0, 5e-3 * capacity


COMPARISONS: dict[str, Callable[[Atoms, Potential, dict[str, Any], Path], Figures]] = {
    "single_point": compare_single_point,
    "optimization": compare_optimization,
    "bulk_modulus": compare_bulk_modulus,
    "heat_capacity": compare_heat_capacity,
}


def references(data: Path = DATA) -> dict[str, dict[str, dict[str, Any]]]:
    """Reference numbers by structure and task; every structure has a single point to compare."""
    loaded = json.loads((data / "reference" / "reference.json").read_text())
    return {name: {"single_point": {}, **tasks} for name, tasks in loaded.items() if not name.startswith("_")}


def measure(task: str, name: str, reference: dict[str, Any], potential: Potential) -> list[Figure]:
    """Run ours on one structure and set it beside the reference."""
    with tempfile.TemporaryDirectory(prefix="mofsim-bench-") as folder:
        figures = COMPARISONS[task](structure(name), potential, reference, Path(folder))
        return [Figure(task, name, *figure) for figure in figures]


def table_of(figures: list[Figure]) -> Table:
    """Both side by side, with the tolerance."""
    table = Table("task", "structure", "figure", "reference", "ours", "difference", "allowed", "")
    for column in table.columns:
        column.overflow = "fold"
    for figure in figures:
        table.add_row(
            figure.task,
            figure.structure,
            figure.name,
            f"{figure.reference:.7g}",
            f"{figure.ours:.7g}",
            f"{figure.difference:+.2g}",
            "" if figure.allowed is None else f"± {figure.allowed:.2g}",
            "" if figure.allowed is None else ("holds" if figure.holds else "MISSED"),
        )
    return table


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench parity", description=__doc__)
    parser.add_argument("--task", choices=COMPARISONS, action="append", help="repeatable; default: all")
    parser.add_argument(
        "--structure", action="append", help="name in ../shared/data; repeatable; default: all"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/parity.json"), help="where to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    console = Console()
    potential = load_potential(MODEL, device=options.device, models_dir=load_settings().models_dir)
    figures: list[Figure] = []
    for name, tasks in references().items():
        for task, reference in tasks.items():
            if task in (options.task or COMPARISONS) and name in (options.structure or [name]):
                console.print(f"{task} of {name} …")
                figures += measure(task, name, reference, potential)
    console.print(table_of(figures))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
    console.print(f"Written to {options.json}.")
    raise SystemExit(0 if all(figure.holds for figure in figures) else 1)


if __name__ == "__main__":
    main()
