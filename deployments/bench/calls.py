"""What one force call costs by size, the packages' own road and ours: `./mofsim bench calls`.

The plain road is sevenn's calculator and torch-dftd; ours, on a GPU, also evaluates many structures
in shared passes. Wall time on an otherwise idle machine, median of some calls; prints a table and
writes JSON. The plain road is left out for structures it cannot hold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from rich.table import Table

from deployments.bench._roads import one_thread, our_potential, plain_calculators, structure
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.dispersion import make_dispersion
from mof_benchmark.calculators.metering import MeteredCalculator

STRUCTURES = ("SOD", "Mg-MOF-74", "MOF-5", "FAU", "MOF-5*2", "FAU*2", "FAU*3")
QUICK = ("SOD", "Mg-MOF-74")
SETTLING_CALLS, CALLS = 4, 7
"""torch's compiler and the recording of GPU work settle within the first calls."""
TOGETHER = 32


@dataclass(frozen=True)
class Calls:
    """Milliseconds of a call on one structure; None where it was not measured."""

    structure: str
    n_atoms: int
    plain_model_ms: float | None
    model_ms: float
    plain_d3_ms: float | None
    d3_ms: float
    both_ms: float
    both_of_many_ms: float | None


def measure(name: str, atoms: Atoms, potential: Potential) -> Calls:
    """Each part on its own, then ours as a whole, then ours for many structures together."""
    plain_model, plain_d3 = plain_calculators(potential.device)
    whole = MeteredCalculator(potential)
    many = [_moved(atoms) for _ in range(TOGETHER)]
    model, d3 = potential.make_calculator(), make_dispersion(potential.device)
    return Calls(
        structure=name,
        n_atoms=len(atoms),
        plain_model_ms=_unless_too_large(lambda: milliseconds(atoms, plain_model.calculate)),
        model_ms=milliseconds(atoms, model.calculate),
        plain_d3_ms=_unless_too_large(
            lambda: milliseconds(
                atoms, lambda moved: plain_d3.calculate(moved, ["energy", "forces", "stress"])
            )
        ),
        d3_ms=milliseconds(atoms, d3.evaluate),
        both_ms=milliseconds(atoms, whole.calculate),
        both_of_many_ms=(
            milliseconds(atoms, lambda _: list(whole.evaluate_many(many))) / TOGETHER
            if potential.evaluate_many is not None
            else None
        ),
    )


def milliseconds(atoms: Atoms, call: Callable[[Atoms], object]) -> float:
    """Median of some calls, each on the atoms moved a little. Every call ends with results in hand."""
    seconds = []
    for _ in range(SETTLING_CALLS + CALLS):
        moved = _moved(atoms)
        begun = time.perf_counter()
        call(moved)
        seconds.append(time.perf_counter() - begun)
    return 1e3 * statistics.median(seconds[SETTLING_CALLS:])


def _moved(atoms: Atoms) -> Atoms:
    moved = atoms.copy()
    moved.rattle(1e-3, rng=np.random.default_rng())
    return moved


def _unless_too_large(measured: Callable[[], float]) -> float | None:
    try:
        return measured()
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        return None


def _atoms(name: str) -> Atoms:
    """A structure, by name or path; `*2` repeats it along each axis."""
    base, _, times = name.partition("*")
    return structure(base).repeat(int(times or 1))


def table_of(found: list[Calls]) -> Table:
    """Both roads side by side."""
    table = Table(
        "structure", "atoms", "model: plain", "ours", "D3: plain", "ours", "both, ours", f"… of {TOGETHER}"
    )
    for calls in found:
        figures = (
            calls.plain_model_ms,
            calls.model_ms,
            calls.plain_d3_ms,
            calls.d3_ms,
            calls.both_ms,
            calls.both_of_many_ms,
        )
        cells = ["–" if figure is None else f"{figure:.1f} ms" for figure in figures]
        table.add_row(calls.structure, str(calls.n_atoms), *cells)
    return table


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="./mofsim bench calls", description=__doc__)
    parser.add_argument(
        "--structure", action="append", help="path or name; `*2` repeats it along each axis; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="the smallest structures only")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=Path("mofsim-bench/calls.json"), help="where to write")
    options = parser.parse_args(argv)
    with one_thread() as console:
        potential = our_potential(options.device)
        found = []
        for name in options.structure or (QUICK if options.quick else STRUCTURES):
            console.print(f"{name} …")
            found.append(measure(name, _atoms(name), potential))
        console.print(table_of(found))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps([asdict(calls) for calls in found], indent=2) + "\n")
    console.print(f"Written to {options.json}.")


if __name__ == "__main__":
    main()
