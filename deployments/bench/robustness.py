"""Does the default relaxation converge as often as the reference's, and to the same minimum?

`./mofsim bench robustness` relaxes 30 structures of mixed kind (metal-organic frameworks, rigid and
flexible ones, zeolites, strained, sheared and rattled variants) by three roads: the reference's own
(ASE's LBFGS on a FrechetCellFilter), mofsim's default and its fast optimizer. All use the fused
model, to save time. A run that was interrupted goes on where its JSON file ends.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from numpy.typing import NDArray
from rich.table import Table

from deployments.bench._roads import DATA, Clock, one_thread, our_potential, structure
from mof_benchmark.calculations import optimization
from mof_benchmark.calculations.relaxation import same_minimum
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import MofsimError
from mof_benchmark.schemas import OptimizationParameters
from mof_benchmark.schemas.optimization import Optimizer

FMAX_EV_A = 1e-3
LARGEST_ATOMS = 300
BUILTIN = (
    *("SOD", "LTA", "FAU", "CALF-20", "Mg-MOF-74", "Zn-MOF-74"),
    *("MOF-5", "UiO-66", "ZIF-8", "HKUST-1"),
)


def strained(atoms: Atoms, strain: NDArray[np.float64]) -> Atoms:
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return changed


def rattled(atoms: Atoms, distance_A: float) -> Atoms:
    changed = atoms.copy()
    changed.rattle(distance_A, seed=11)
    return changed


def isotropic(percent: float) -> NDArray[np.float64]:
    """Strain that changes the volume by so much."""
    return np.asarray(((1 + percent / 100) ** (1 / 3) - 1) * np.eye(3))


SHEAR = np.array([[0, 0.05, 0], [0, 0, 0.03], [0, 0, 0]])


VARIANTS: dict[str, tuple[str, Callable[[Atoms], Atoms]]] = {
    "compressed": ("RSM0004", partial(strained, strain=isotropic(-6))),
    "sheared": ("RSM0009", partial(strained, strain=SHEAR)),
    "rattled": ("RSM0011", partial(rattled, distance_A=0.1)),
    "stretched": ("MgMOF74", partial(strained, strain=isotropic(6))),
    "rattled zeolite": ("SOD", partial(rattled, distance_A=0.15)),
}


def structures() -> dict[str, Atoms]:
    """All that is tried, by name."""
    files = sorted((DATA / "structures").glob("*.cif")) if DATA.is_dir() else []
    tried = {path.stem: structure(str(path)) for path in files}
    tried = {name: atoms for name, atoms in tried.items() if len(atoms) <= LARGEST_ATOMS}
    tried |= {f"{name} (built-in)": structure(name) for name in BUILTIN}
    for what, (base, change) in VARIANTS.items():
        if base in tried or base in BUILTIN:
            tried[f"{base}, {what}"] = change(structure(base))
    return tried


@dataclass(frozen=True)
class End:
    """Where a road ended, and what the result said about it."""

    converged: bool
    steps: int
    energy_eV: float
    volume_A3: float
    cpu_s: float
    said: tuple[str, ...] = ()


def reference(atoms: Atoms, calculator: MeteredCalculator, max_steps: int) -> End:
    """The benchmark's own few lines."""
    clock, relaxed = Clock(), atoms.copy()
    relaxed.calc = calculator
    engine = LBFGS(FrechetCellFilter(relaxed), logfile=None)
    converged = bool(engine.run(fmax=FMAX_EV_A, steps=max_steps))
    energy, volume = relaxed.get_potential_energy(), relaxed.get_volume()
    return End(converged, int(engine.nsteps), float(energy), float(volume), clock.cost().cpu_s)


def ours(optimizer: Optimizer, atoms: Atoms, calculator: MeteredCalculator, max_steps: int) -> End:
    """mofsim's `optimization`, with its files."""
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="mofsim-bench-") as folder:
        result = optimization.run(
            atoms,
            calculator,
            OptimizationParameters(optimizer=optimizer, max_steps=max_steps),
            workdir=Path(folder),
        )
    return End(
        result.converged,
        result.steps,
        result.final_energy_eV,
        result.final_volume_A3 or 0.0,
        clock.cost().cpu_s,
        tuple(result.warnings),
    )


ROADS: dict[str, Callable[[Atoms, MeteredCalculator, int], End]] = {
    "reference": reference,
    "default": partial(ours, "LBFGS"),
    "fast": partial(ours, "ModelHessianLBFGS"),
}


def travel(road: str, atoms: Atoms, potential: Potential, max_steps: int) -> End:
    """Go one road; what goes wrong is an end as well."""
    try:
        return ROADS[road](atoms, MeteredCalculator(potential), max_steps)
    except MofsimError as error:
        return End(False, 0, 0.0, 0.0, 0.0, (f"{error.code}: {error.detail}",))


def compared(one: End, other: End, n_atoms: int) -> str:
    """The other end seen from the first one."""
    if not (one.converged and other.converged):
        return "" if other.converged else (other.said[0] if other.said else "not converged")
    if same_minimum((one.energy_eV, one.volume_A3), (other.energy_eV, other.volume_A3), n_atoms):
        return "same minimum"
    return (
        f"{1e3 * (other.energy_eV - one.energy_eV) / n_atoms:+.2f} meV/atom, "
        f"{100 * (other.volume_A3 / one.volume_A3 - 1):+.1f} % volume"
    )


def table_of(ends: dict[str, dict[str, End]], sizes: dict[str, int]) -> Table:
    """Steps of each road, and where the others ended as seen from the reference."""
    table = Table("structure", "atoms", "steps: reference", "default", "fast", "default ended", "fast ended")
    for column in table.columns:
        column.overflow = "fold"
    for name, roads in ends.items():
        steps = [f"{end.steps}{'' if end.converged else ' (not converged)'}" for end in roads.values()]
        seen = [compared(roads["reference"], roads[road], sizes[name]) for road in ("default", "fast")]
        table.add_row(name, str(sizes[name]), *steps, *seen)
    converged = {road: sum(roads[road].converged for roads in ends.values()) for road in ROADS}
    table.add_row(f"converged of {len(ends)}", "", *(str(converged[road]) for road in ROADS), "", "")
    return table


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench robustness", description=__doc__)
    parser.add_argument("--structure", action="append", help="name as the table shows it; default: all")
    parser.add_argument("--max-steps", type=int, default=1000, help="of every road")
    parser.add_argument("--again", action="store_true", help="forget what the JSON file already has")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/robustness.json"))
    options = parser.parse_args(argv)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(options.json.read_text()) if options.json.exists() and not options.again else {}
    ends: dict[str, dict[str, End]] = {}
    tried = {n: a for n, a in structures().items() if n in (options.structure or [n])}
    with one_thread() as console:
        potential = our_potential(options.device)
        for name, atoms in sorted(tried.items(), key=lambda item: len(item[1])):
            found = {road: End(**end) for road, end in known.get(name, {}).items()}
            for road in ROADS:
                found[road] = found.get(road) or travel(road, atoms, potential, options.max_steps)
            ends[name] = {road: found[road] for road in ROADS}
            console.print(f"{name}: {', '.join(f'{road} {end.steps}' for road, end in ends[name].items())}")
            known[name] = {road: asdict(end) for road, end in ends[name].items()}
            options.json.write_text(json.dumps(known, indent=2) + "\n")
        console.print(table_of(ends, {name: len(atoms) for name, atoms in tried.items()}))
        console.print(f"Written to {options.json}.")
    converged = {road: sum(roads[road].converged for roads in ends.values()) for road in ROADS}
    raise SystemExit(0 if converged["default"] >= converged["reference"] else 1)


if __name__ == "__main__":
    main()
