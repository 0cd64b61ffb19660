"""Is it a potential? Energy, forces and stress of real frameworks, their slopes, and the symmetries.

Each check gives the figure it found and the limit it was held to. Symmetries and slopes are tried
in double precision, where a fault cannot hide in rounding.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.spatial.transform import Rotation

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.schemas.custom_model import ModelCheck
from mof_benchmark.structures import builtin

DISPLACEMENT_A = 1e-4
STRAIN = 1e-5
FORCE_LIMIT_EV_A = 1e-3
STRESS_LIMIT_EV_A3 = 1e-5
INVARIANCE_LIMIT_EV_ATOM = 1e-4
PRECISION_LIMIT_EV_ATOM = 1e-4
MAX_FORCE_EV_A = 1e4
SPEED_CALLS = 3

Results = dict[str, np.ndarray]
Evaluate = Callable[[Atoms], Results]


@dataclass(frozen=True)
class Loaded:
    """A model in the precision it is used in, and in double."""

    single: Potential
    double: Potential
    direct_forces: bool
    """Forces have a head of their own instead of being the energy's slope."""
    learned_rotations: bool
    """Rotational symmetry comes from the training data, not from the architecture."""


def check(model: Loaded) -> Iterator[ModelCheck]:
    """Try a model on small built-in frameworks whose elements it knows."""
    structures = frameworks_for(model.single.elements)
    evaluate, exact = _evaluator(model.single), _evaluator(model.double)
    for name, atoms in structures:
        yield from _evaluation(name, atoms, evaluate)
    name, atoms = structures[0]
    tried = atoms.copy()
    # Off every symmetric point, where forces and their errors would vanish together.
    tried.rattle(0.02, seed=7)
    before = exact(tried)
    yield _close_precisions(tried, evaluate, before)
    yield _force_slope(tried, exact, before, required=not model.direct_forces)
    yield _stress_slope(tried, exact, before, required=not model.direct_forces)
    yield _translation(tried, exact, before)
    yield _rotation(tried, exact, before, required=not model.learned_rotations)
    yield _supercell(tried, exact, before)
    yield _repeatability(tried, exact, before)
    yield _speed(name, atoms, evaluate)


def frameworks_for(elements: frozenset[int]) -> list[tuple[str, Atoms]]:
    """The smallest built-in framework of these elements, and the smallest metal-organic one.

    A crystal of the model's first element where it knows too few for any.
    """
    found = [
        (info.name, atoms)
        for info in sorted(builtin.names(), key=lambda info: info.n_atoms)
        if set((atoms := builtin.build(info.name)).numbers.tolist()) <= elements
    ]
    organic = [(name, atoms) for name, atoms in found if "C" in atoms.symbols]
    if found:
        return list(dict([found[0], *organic[:1]]).items())
    symbol = chemical_symbols[min(elements)]
    crystal = bulk(symbol, "fcc", a=4.0, cubic=True)
    return [(f"a cubic crystal of {symbol}", crystal)]


def _evaluator(potential: Potential) -> Evaluate:
    calculator: Calculator = potential.make_calculator()

    def evaluate(atoms: Atoms) -> Results:
        calculator.calculate(atoms, ["energy", "forces", "stress"])
        return {name: np.array(calculator.results[name]) for name in ("energy", "forces", "stress")}

    return evaluate


def _evaluation(name: str, atoms: Atoms, evaluate: Evaluate) -> Iterator[ModelCheck]:
    untouched = atoms.copy()
    results = evaluate(atoms)
    finite = all(np.isfinite(values).all() for values in results.values())
    shapes = (results["forces"].shape, results["stress"].shape) == ((len(atoms), 3), (6,))
    strongest = float(np.linalg.norm(results["forces"], axis=1).max()) if finite else None
    yield ModelCheck(
        name="evaluates",
        passed=finite and shapes and strongest is not None and strongest < MAX_FORCE_EV_A,
        required=True,
        value=strongest,
        limit=MAX_FORCE_EV_A,
        unit="eV/Å",
        detail=f"{name} ({len(atoms)} atoms): "
        + (
            f"{float(results['energy']) / len(atoms):.4f} eV/atom, stress up to "
            f"{np.abs(results['stress']).max():.3g} eV/Å³; the figure is the strongest force"
            if finite
            else "energy, forces or stress are not finite"
        ),
    )
    yield ModelCheck(
        name="leaves_the_structure_alone",
        passed=bool(atoms == untouched and atoms.info == untouched.info),
        required=True,
        detail=name,
    )


def _close_precisions(atoms: Atoms, evaluate: Evaluate, exact: Results) -> ModelCheck:
    difference = abs(float(evaluate(atoms)["energy"] - exact["energy"])) / len(atoms)
    return _limited(
        "precision", difference, PRECISION_LIMIT_EV_ATOM, "eV/atom", "energy as used against double precision"
    )


def _force_slope(atoms: Atoms, exact: Evaluate, before: Results, *, required: bool) -> ModelCheck:
    places = [(0, 0), (len(atoms) // 2, 1), (len(atoms) - 1, 2)]
    worst = 0.0
    for atom, axis in places:
        energies = []
        for sign in (+1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * DISPLACEMENT_A
            energies.append(float(exact(moved)["energy"]))
        slope = (energies[0] - energies[1]) / (2 * DISPLACEMENT_A)
        worst = max(worst, abs(float(before["forces"][atom, axis]) + slope))
    detail = f"against central differences of {DISPLACEMENT_A:g} Å at {len(places)} coordinates"
    return _limited("forces_match_energy", worst, FORCE_LIMIT_EV_A, "eV/Å", detail, required=required)


def _stress_slope(atoms: Atoms, exact: Evaluate, before: Results, *, required: bool) -> ModelCheck:
    slopes = np.zeros((3, 3))
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        energies = []
        for sign in (+1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * STRAIN / 2
            strain[column, row] += sign * STRAIN / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell[:] @ strain, scale_atoms=True)
            energies.append(float(exact(strained)["energy"]))
        slopes[row, column] = slopes[column, row] = (energies[0] - energies[1]) / (2 * STRAIN)
    expected = full_3x3_to_voigt_6_stress(slopes) / atoms.cell.volume
    worst = float(np.abs(before["stress"] - expected).max())
    detail = f"against central differences of a strain of {STRAIN:g}, six components"
    return _limited("stress_matches_energy", worst, STRESS_LIMIT_EV_A3, "eV/Å³", detail, required=required)


def _translation(atoms: Atoms, exact: Evaluate, before: Results) -> ModelCheck:
    moved = atoms.copy()
    moved.positions += [0.37, -1.21, 5.3]
    difference = _difference(exact(moved), before, len(atoms))
    return _limited("translation_invariance", difference, INVARIANCE_LIMIT_EV_ATOM, "eV/atom", "")


def _rotation(atoms: Atoms, exact: Evaluate, before: Results, *, required: bool) -> ModelCheck:
    turn = Rotation.from_euler("xyz", [20, 50, -70], degrees=True).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell[:] @ turn.T, scale_atoms=True)
    after = exact(turned)
    difference = abs(float(after["energy"] - before["energy"])) / len(atoms)
    forces = float(np.abs(after["forces"] - before["forces"] @ turn.T).max())
    return _limited(
        "rotation_invariance",
        difference,
        INVARIANCE_LIMIT_EV_ATOM,
        "eV/atom",
        f"forces turn along within {forces:.2g} eV/Å",
        required=required,
    )


def _supercell(atoms: Atoms, exact: Evaluate, before: Results) -> ModelCheck:
    doubled = exact(atoms.repeat((2, 1, 1)))
    difference = abs(float(doubled["energy"] / 2 - before["energy"])) / len(atoms)
    return _limited("supercell_extensivity", difference, INVARIANCE_LIMIT_EV_ATOM, "eV/atom", "2×1×1")


def _repeatability(atoms: Atoms, exact: Evaluate, before: Results) -> ModelCheck:
    difference = _difference(exact(atoms), before, len(atoms))
    return _limited(
        "repeatability", difference, INVARIANCE_LIMIT_EV_ATOM, "eV/atom", "the same structure again"
    )


def _speed(name: str, atoms: Atoms, evaluate: Evaluate) -> ModelCheck:
    seconds = []
    for _ in range(SPEED_CALLS):
        begun = time.perf_counter()
        evaluate(atoms)
        seconds.append(time.perf_counter() - begun)
    return ModelCheck(
        name="speed",
        passed=True,
        required=False,
        value=1e3 * statistics.median(seconds),
        unit="ms per force call",
        detail=f"{name}, {len(atoms)} atoms, on one CPU thread",
    )


def _difference(after: Results, before: Results, n_atoms: int) -> float:
    return abs(float(after["energy"] - before["energy"])) / n_atoms


def _limited(
    name: str, value: float, limit: float, unit: str, detail: str, *, required: bool = True
) -> ModelCheck:
    finite = bool(np.isfinite(value))
    return ModelCheck(
        name=name,
        passed=finite and value <= limit,
        required=required,
        value=value if finite else None,
        limit=limit,
        unit=unit,
        detail=detail,
    )


def all_required_pass(checks: Sequence[ModelCheck]) -> bool:
    """Whether the model may be used."""
    return bool(checks) and all(one.passed for one in checks if one.required)
