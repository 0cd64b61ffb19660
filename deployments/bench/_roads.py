"""The benchmark's plain road and ours on one structure, and what a run of either costs.

The plain road is ASE with sevenn's own calculator and torch-dftd, summed by ASE, one torch thread.
"""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.calculators.mixing import SumCalculator
from rich.console import Console
from torch_dftd.torch_dftd3_calculator import TorchDFTD3Calculator

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.structures import builtin
from mof_benchmark.structures.reading import read_structure
from mofsim_settings import load_settings

MODEL = "sevennet_prod"
CHECKPOINT = "7net-0"
DATA = Path("../shared/data")
WIDTH = 150
"""Of a table that goes to a file."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a run took. CPU time is what counts where other programs share the machine."""

    wall_s: float = 0.0
    cpu_s: float = 0.0

    def times(self, number: float) -> Cost:
        return Cost(wall_s=number * self.wall_s, cpu_s=number * self.cpu_s)


class Clock:
    """Wall and CPU time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def cost(self) -> Cost:
        return Cost(wall_s=time.perf_counter() - self._wall, cpu_s=time.process_time() - self._cpu)


@contextmanager
def one_thread() -> Iterator[Console]:
    """One torch thread, without the packages' chatter; answers where to print."""
    torch.set_num_threads(1)
    console = Console()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield console if console.is_terminal else Console(width=WIDTH)


def our_potential(device: str) -> Potential:
    """The model as mofsim runs it."""
    return load_potential(MODEL, device=device, models_dir=load_settings().models_dir)


def plain_calculators(device: str) -> tuple[Calculator, Calculator]:
    """The benchmark's model and dispersion, each on its own."""
    # sevenn can be imported once our adapter has allowed e3nn its constants.
    from sevenn.calculator import SevenNetCalculator

    model = SevenNetCalculator(CHECKPOINT, device=device)
    dispersion = TorchDFTD3Calculator(
        device=device, damping="bj", xc="pbe", cutoff=40.0 * units.Bohr, dtype=torch.float32
    )
    return model, dispersion


def plain_potential(potential: Potential) -> Potential:
    """The plain road's calculator behind our contract, for a `MeteredCalculator(…, with_d3=False)`."""

    def make_calculator() -> Calculator:
        return SumCalculator(list(plain_calculators(potential.device)))

    return dataclasses.replace(
        potential, make_calculator=make_calculator, evaluate_many=None, accelerator=None
    )


def structure(name: str) -> Atoms:
    """Read a structure by path, by name from the shared data, or make a built-in."""
    for path in (Path(name), DATA / "structures" / f"{name}.cif"):
        if path.is_file():
            return read_structure(path).atoms
    return builtin.build(name)


def references() -> dict[str, dict[str, dict[str, Any]]]:
    """Numbers made with the benchmark's own scripts, by structure and task; empty without the data."""
    path = DATA / "reference" / "reference.json"
    if not path.is_file():
        return {}
    loaded = json.loads(path.read_text())
    return {name: tasks for name, tasks in loaded.items() if not name.startswith("_")}
