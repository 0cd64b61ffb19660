"""The tasks of the exercise, and the numbers they must come to."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mofsim_client.requests import Optimization, SinglePoint, Submission

from mof_benchmark.calculations import optimization, single_point
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.schemas import OptimizationParameters, SinglePointParameters
from mof_benchmark.structures import builtin

MODEL = "sevennet_prod"
TOLERANCE_EV_PER_ATOM = 1e-5
"""The machine is the same and so is the code; a wrong structure or step would be off by far more."""


@dataclass(frozen=True)
class Work:
    """A structure, and the steps of its optimization; 0: a single point."""

    structure: str
    steps: int

    def submission(self, priority: Any) -> Submission[Any]:
        if self.steps == 0:
            return SinglePoint(self.structure, MODEL, priority=priority)
        return Optimization(self.structure, MODEL, fmax=1e-9, max_steps=self.steps, priority=priority)


KINDS = (
    Work("CALF-20", 0),
    Work("Mg-MOF-74", 0),
    Work("SOD", 80),
    Work("CALF-20", 40),
    Work("Mg-MOF-74", 50),
    Work("Zn-MOF-74", 30),
)
LONG = Work("Mg-MOF-74", 60)
"""Takes long enough that the next of its like goes to another GPU."""
PRIORITIES = ("CRITICAL", "HIGH", "NORMAL", "NORMAL", "LOW")


def draw(rng: random.Random) -> tuple[Work, str]:
    """A task and its priority."""
    return rng.choice(KINDS), rng.choice(PRIORITIES)


def right_energies_eV(models_dir: Path, kinds: Sequence[Work]) -> dict[Work, tuple[float, int]]:
    """Energy of each work by a direct calculation, eV, and the number of atoms."""
    torch.set_num_threads(1)
    calculator = MeteredCalculator(load_potential(MODEL, models_dir=models_dir))
    found = {}
    for work in kinds:
        atoms = builtin.build(work.structure)
        calculator.reset()
        with tempfile.TemporaryDirectory() as folder:
            if work.steps == 0:
                point = single_point.run(atoms, calculator, SinglePointParameters(), workdir=Path(folder))
                energy_eV = point.energy_eV
            else:
                parameters = OptimizationParameters(fmax=1e-9, max_steps=work.steps)
                relaxed = optimization.run(atoms, calculator, parameters, workdir=Path(folder))
                energy_eV = relaxed.final_energy_eV
        found[work] = (energy_eV, len(atoms))
    return found
