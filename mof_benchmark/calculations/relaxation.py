"""Relaxation of atoms and cell: every optimizer and cell filter behind one function.

The default road is the benchmark's own: ASE's LBFGS on a FrechetCellFilter. Whatever the
optimizer, a relaxation that does not converge is returned and says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

import numpy as np
from ase import Atoms, filters, optimize
from ase.calculators.calculator import Calculator
from ase.optimize.optimize import Optimizer as AseOptimizer
from ase.optimize.sciopt import OptimizerConvergenceError
from numpy.typing import NDArray

from mof_benchmark.errors import InvalidParameterError, UnphysicalError
from mof_benchmark.optimizers.model_hessian import ModelHessianLBFGS
from mof_benchmark.schemas.optimization import CellFilter, Optimizer
from mof_benchmark.units import GPA_TO_EV_A3

COLLAPSED_VOLUME_RATIO = 0.2
"""A cell below this part of its first volume, with no pressure asked for, has collapsed."""
EXPLODED_VOLUME_RATIO = 5.0
EXPLODED_ENERGY_EV_PER_ATOM = 10.0
"""A relaxation goes downhill; this far above the start it has exploded."""
GPMIN_MEMORY_BYTES = 2e9
SAME_ENERGY_EV_PER_ATOM = 1e-4
SAME_VOLUME_RATIO = 1e-2
"""Two ends this near to each other are one minimum. A soft framework converged to the usual force
leaves a few tenths of a percent of its volume open; other minima lie several percent away."""

_UNIT_FACTOR: dict[CellFilter, str] = {
    "FrechetCellFilter": "exp_cell_factor",
    "UnitCellFilter": "cell_factor",
}


@dataclass
class Relaxation:
    """A relaxed structure and how it was reached.

    `atoms` carries the calculator it was relaxed with. The histories have one entry per step,
    the start included. `stopped_because` says why an optimizer gave up before its steps ran out.
    """

    atoms: Atoms
    converged: bool = False
    steps: int = 0
    energies_eV: list[float] = field(default_factory=list)
    fmax_eV_A: list[float] = field(default_factory=list)
    volumes_A3: list[float] = field(default_factory=list)
    stopped_because: str | None = None


OnStep = Callable[[Relaxation], None]


def relax(
    atoms: Atoms,
    calculator: Calculator,
    *,
    optimizer: Optimizer = "LBFGS",
    cell_filter: CellFilter = "none",
    fmax_eV_A: float,
    max_steps: int,
    pressure_GPa: float = 0.0,
    on_step: OnStep | None = None,
) -> Relaxation:
    """Relax a copy of the atoms.

    Parameters
    ----------
    atoms
        Structure to start from; not changed.
    optimizer, cell_filter
        ASE's names; `none` keeps the cell.
    fmax_eV_A
        Largest force at convergence, over atoms and the filter's cell coordinates.
    max_steps
        Most optimizer steps.
    pressure_GPa
        External pressure on the cell.
    on_step
        Called with the relaxation under way at the start and after each step; what it raises
        ends the relaxation.

    Raises
    ------
    InvalidParameterError
        When optimizer, filter and structure do not go together.
    UnphysicalError
        When the cell collapses or the energy explodes.
    """
    require_compatible(atoms, optimizer, cell_filter, pressure_GPa)
    relaxed = atoms.copy()
    relaxed.calc = calculator
    relaxation = Relaxation(relaxed)
    target = _filtered(relaxed, optimizer, cell_filter, pressure_GPa)
    engine = _engine(optimizer, target)

    def observe() -> None:
        if relaxation.energies_eV and engine.nsteps == relaxation.steps:
            return
        relaxation.steps = int(engine.nsteps)
        relaxation.energies_eV.append(float(relaxed.get_potential_energy()))
        relaxation.fmax_eV_A.append(_largest_force(engine))
        relaxation.volumes_A3.append(float(relaxed.cell.volume))
        _check_sane(relaxation, pressure_GPa)
        if on_step is not None:
            on_step(relaxation)

    engine.attach(observe, interval=1)
    steps = _affordable_steps(optimizer, len(target), max_steps)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            engine.run(fmax=fmax_eV_A, steps=steps)
    except (RuntimeError, ArithmeticError, np.linalg.LinAlgError, OptimizerConvergenceError) as error:
        # ASE's line searches and models give up by raising; the structure so far is kept.
        relaxation.stopped_because = f"{optimizer} gave up: {error}"
    relaxation.converged = relaxation.fmax_eV_A[-1] < fmax_eV_A
    if not relaxation.converged and steps < max_steps and relaxation.stopped_because is None:
        relaxation.stopped_because = (
            f"{optimizer} was stopped after {steps} steps: its memory grows with them"
        )
    return relaxation


def same_minimum(one: tuple[float, float], other: tuple[float, float], n_atoms: int) -> bool:
    """Whether two relaxed structures, each as (energy in eV, volume in Å³), are one minimum."""
    energies_eV, volumes_A3 = zip(one, other, strict=True)
    return bool(
        abs(energies_eV[0] - energies_eV[1]) <= SAME_ENERGY_EV_PER_ATOM * n_atoms
        and abs(volumes_A3[0] - volumes_A3[1]) <= SAME_VOLUME_RATIO * max(volumes_A3)
    )


def require_compatible(
    atoms: Atoms, optimizer: Optimizer, cell_filter: CellFilter, pressure_GPa: float
) -> None:
    """Refuse what cannot work, before anything is computed.

    Raises
    ------
    InvalidParameterError
        Cell relaxation without a three-dimensional cell, pressure without cell relaxation, an
        optimizer without the filter it needs.
    """
    if cell_filter != "none" and not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise InvalidParameterError(
            "The structure is not periodic in three directions, so its cell cannot relax; use filter none.",
            field="parameters.filter",
        )
    if pressure_GPa != 0 and cell_filter in {"none", "StrainFilter"}:
        raise InvalidParameterError(
            f"With filter {cell_filter} a pressure has no effect.", field="parameters.pressure_GPa"
        )
    if optimizer == "CellAwareBFGS" and cell_filter in {"none", "StrainFilter"}:
        raise InvalidParameterError(
            "CellAwareBFGS needs a filter for atoms and cell, such as FrechetCellFilter.",
            field="parameters.filter",
        )
    if optimizer == "ModelHessianLBFGS" and cell_filter == "StrainFilter":
        raise InvalidParameterError(
            "ModelHessianLBFGS moves atoms; StrainFilter keeps them in place.", field="parameters.filter"
        )


def _filtered(atoms: Atoms, optimizer: Optimizer, cell_filter: CellFilter, pressure_GPa: float) -> Any:
    if cell_filter == "none":
        return atoms
    options: dict[str, float] = {}
    if cell_filter != "StrainFilter":
        options["scalar_pressure"] = pressure_GPa * GPA_TO_EV_A3
    if optimizer == "CellAwareBFGS" and cell_filter in _UNIT_FACTOR:
        # This optimizer's elastic first guess holds for the bare deformation gradient only.
        options[_UNIT_FACTOR[cell_filter]] = 1.0
    kind = getattr(filters, cell_filter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return type(cell_filter, (_OncePerGeometry, kind), {})(atoms, **options)


class _OncePerGeometry:
    """Makes a filter compute its forces once per geometry.

    ASE's optimizers ask four times a step, and a FrechetCellFilter spends milliseconds on
    derivatives of matrix exponentials each time: as much as a fast model spends on the forces.
    """

    atoms: Atoms
    _geometry: tuple[bytes, bytes] | None = None
    _forces: NDArray[np.float64]

    def get_forces(self, **options: Any) -> NDArray[np.float64]:
        geometry = (self.atoms.positions.tobytes(), self.atoms.cell[:].tobytes())
        if geometry != self._geometry:
            self._forces = super().get_forces(**options)  # type: ignore[misc]
            self._geometry = geometry
        return self._forces.copy()


class _CellAwareBFGS(optimize.CellAwareBFGS):
    """ASE's optimizer with the convergence criterion of the other ones.

    Its own criterion has a second threshold on the stress that defaults to 0.8 GPa.
    """

    def gradient_converged(self, gradient: NDArray[np.float64]) -> bool:
        return bool(_largest_force(self) < self.fmax)

    def run(self, fmax: float = 0.05, steps: int = 1000) -> bool:
        return bool(super().run(fmax=fmax, smax=np.inf, steps=steps))


def _engine(optimizer: Optimizer, target: Any) -> AseOptimizer:
    if optimizer == "CellAwareBFGS":
        return _CellAwareBFGS(target, logfile=None)
    if optimizer == "ModelHessianLBFGS":
        return ModelHessianLBFGS(target)
    return getattr(optimize, optimizer)(target, logfile=None)


def _largest_force(engine: AseOptimizer) -> float:
    rows = np.linalg.norm(engine.optimizable.get_gradient().reshape(-1, 3), axis=1)
    if isinstance(engine, _CellAwareBFGS):
        # The other filters measure the cell's force per atom.
        rows[-3:] /= len(rows) - 3
    return float(rows.max())


def _affordable_steps(optimizer: Optimizer, rows: int, max_steps: int) -> int:
    """Steps whose memory the host can pay: GPMin keeps a matrix over all steps and coordinates."""
    if optimizer != "GPMin":
        return max_steps
    return max(1, min(max_steps, isqrt(int(GPMIN_MEMORY_BYTES / 24)) // (3 * rows + 1)))


def _check_sane(relaxation: Relaxation, pressure_GPa: float) -> None:
    step, n_atoms = relaxation.steps, len(relaxation.atoms)
    rise = relaxation.energies_eV[-1] - relaxation.energies_eV[0]
    if rise > EXPLODED_ENERGY_EV_PER_ATOM * n_atoms:
        raise UnphysicalError(f"At step {step} the energy had exploded: {rise:.4g} eV above the start.")
    first, now = relaxation.volumes_A3[0], relaxation.volumes_A3[-1]
    if now < COLLAPSED_VOLUME_RATIO * first and pressure_GPa == 0:
        raise UnphysicalError(f"At step {step} the cell had collapsed from {first:.1f} to {now:.1f} Å³.")
    if now > EXPLODED_VOLUME_RATIO * first:
        raise UnphysicalError(f"At step {step} the cell had blown up from {first:.1f} to {now:.1f} Å³.")
