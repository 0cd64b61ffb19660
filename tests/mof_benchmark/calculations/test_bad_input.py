"""What cannot be computed ends in its code, with what was wrong, before much is spent on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from mof_benchmark.calculations import (
    bulk_modulus,
    heat_capacity,
    interaction_energy,
    optimization,
    single_point,
    stability,
)
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import MofsimError, UnphysicalError
from mof_benchmark.schemas import (
    BulkModulusParameters,
    HeatCapacityParameters,
    InteractionEnergyParameters,
    OptimizationParameters,
    SinglePointParameters,
    StabilityParameters,
)

RUNS: dict[str, tuple[Callable[..., Any], Any]] = {
    "single point": (single_point.run, SinglePointParameters()),
    "optimization": (optimization.run, OptimizationParameters()),
    "stability": (stability.run, StabilityParameters()),
    "bulk modulus": (bulk_modulus.run, BulkModulusParameters()),
    "heat capacity": (heat_capacity.run, HeatCapacityParameters()),
    "search": (interaction_energy.run, InteractionEnergyParameters(mode="search")),
}


def slab() -> Atoms:
    atoms = fcc111("Cu", (1, 1, 2), vacuum=6)
    atoms.pbc = (True, True, False)
    return atoms


def padded_slab() -> Atoms:
    atoms = slab()
    atoms.pbc = True
    return atoms


def not_a_number() -> Atoms:
    atoms = bulk("MgO", "rocksalt", a=4.2)
    atoms.positions[0, 0] = np.nan
    return atoms


def flat() -> Atoms:
    cell = [[4, 0, 0], [0, 4, 0], [4, 4, 0]]
    return Atoms("MgO", positions=[[0, 0, 0], [2, 0, 0]], cell=cell, pbc=True)


def unknown() -> Atoms:
    atoms = bulk("MgO", "rocksalt", a=4.2).repeat(2)
    atoms.symbols[0] = "Og"
    return atoms


ALL, CRYSTALS = tuple(RUNS), ("stability", "bulk modulus", "heat capacity")
CASES: dict[str, tuple[Callable[[], Atoms], tuple[str, ...], int, str]] = {
    "no atoms": (Atoms, ("single point", "optimization", "search"), 40005, "no atoms"),
    "no volume": (flat, ALL, 40005, "volume|three directions"),
    "not a number": (not_a_number, ("single point", "optimization", "search"), 40005, "not a number"),
    "a slab": (slab, (*CRYSTALS, "search"), 40005, "periodic"),
    "a slab's cell": (slab, ("optimization",), 40002, "filter none"),
    "a slab with vacuum": (padded_slab, CRYSTALS, 40005, "vacuum .* along c"),
    "a molecule": (lambda: molecule("CO2"), (*CRYSTALS, "search"), 40005, "periodic"),
    "a molecule's cell": (lambda: molecule("CO2"), ("optimization",), 40002, "filter none"),
    "a molecule in a box": (lambda: molecule("CO2", vacuum=6, pbc=True), CRYSTALS, 40005, "vacuum"),
    "one atom in motion": (lambda: bulk("Cu"), ("stability",), 40005, "more than one atom"),
    "an unknown element": (unknown, ALL, 40006, "Og"),
}


@pytest.mark.parametrize(
    ("case", "task"), [(case, task) for case, (_, tasks, _, _) in CASES.items() for task in tasks]
)
def test_what_cannot_be_computed_ends_in_its_code(
    case: str, task: str, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    make, _, code, words = CASES[case]
    run, parameters = RUNS[task]
    with pytest.raises(MofsimError, match=words) as caught:
        run(make(), calculator, parameters, workdir=tmp_path)
    assert caught.value.code == code


def test_a_crushed_crystal_is_called_unphysical_with_a_number(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    crushed = bulk("MgO", "rocksalt", a=1.0)
    with pytest.raises(UnphysicalError, match=r"\d"):
        single_point.run(crushed, calculator, SinglePointParameters(), workdir=tmp_path)


def test_a_crystal_of_one_atom_has_energy_modulus_and_heat_capacity(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    copper = bulk("Cu", a=3.58)
    assert single_point.run(copper, calculator, SinglePointParameters(), workdir=tmp_path).n_atoms == 1
    modulus = bulk_modulus.run(
        copper, calculator, BulkModulusParameters(fmax=0.05, n_points=5), workdir=tmp_path
    )
    assert 90 < modulus.bulk_modulus_GPa < 200
    capacity = heat_capacity.run(
        copper, calculator, HeatCapacityParameters(fmax=0.05, mesh=10, t_step=100), workdir=tmp_path
    )
    assert capacity.n_displacements == 1
