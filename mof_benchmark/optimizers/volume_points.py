"""Relaxing the atoms at a series of fixed volumes, each from what its neighbours have shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from mof_benchmark.monitor import Monitor, SilentMonitor
from mof_benchmark.optimizers.model_hessian import ModelHessianLBFGS

EXTRAPOLATION_POINTS = 3


@dataclass(frozen=True, kw_only=True)
class RelaxedPoint:
    """The atoms relaxed in a cell of one volume; `atoms` carries no calculator."""

    volume_A3: float
    energy_eV: float
    fmax_eV_A: float
    converged: bool
    force_calls: int
    atoms: Atoms


def relax_at_volumes(
    atoms: Atoms,
    calculator: Calculator,
    volumes: Sequence[float],
    *,
    fmax: float = 1e-3,
    max_steps: int = 1000,
    monitor: Monitor | None = None,
    stage: str = "volume_points",
) -> list[RelaxedPoint]:
    """Relax the atoms in the cell of `atoms` scaled to each volume.

    The walk goes outwards from the volume of `atoms`. Each point starts from fractional positions
    extrapolated from the nearest volumes already relaxed, and its optimizer from their curvature,
    so that most points need a handful of force calls where a start from scaled positions needs
    dozens.

    Parameters
    ----------
    atoms
        The relaxed structure; not changed.
    volumes
        Target volumes, Å³, in any order.
    fmax
        Largest force on an atom at convergence, eV/Å.
    max_steps
        Most optimizer steps for one point.

    Returns
    -------
    list of RelaxedPoint
        One per volume, in the order given; a point that did not converge is kept and says so.

    Raises
    ------
    mof_benchmark.errors.StoppedError
        When the monitor asks to stop.
    """
    monitor = monitor or SilentMonitor()
    origin = atoms.get_volume()
    points: dict[int, RelaxedPoint] = {}
    optimizer: ModelHessianLBFGS | None = None
    for index in sorted(range(len(volumes)), key=lambda i: abs(volumes[i] - origin)):
        image = _scaled(atoms, volumes[index])
        image.set_positions(
            image.cell.cartesian_positions(_extrapolated(atoms, list(points.values()), volumes[index])),
            apply_constraint=False,
        )
        image.calc = calculator
        optimizer = ModelHessianLBFGS(image, previous=optimizer)
        gradient_norm = 0.0
        for _ in optimizer.irun(fmax=fmax, steps=max_steps):
            gradient_norm = float(np.linalg.norm(image.get_forces(), axis=1).max())
            monitor.step(
                stage,
                len(points),
                len(volumes),
                volume_A3=volumes[index],
                energy_eV=image.get_potential_energy(),
                fmax_eV_A=gradient_norm,
            )
        points[index] = RelaxedPoint(
            volume_A3=float(image.get_volume()),
            energy_eV=float(image.get_potential_energy()),
            fmax_eV_A=gradient_norm,
            converged=gradient_norm < fmax,
            force_calls=optimizer.nsteps + 1,
            atoms=image.copy(),
        )
    return [points[index] for index in range(len(volumes))]


def _scaled(atoms: Atoms, volume: float) -> Atoms:
    image = atoms.copy()
    image.set_cell(atoms.cell * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    return image


def _extrapolated(atoms: Atoms, known: list[RelaxedPoint], volume: float) -> NDArray[np.float64]:
    """Fractional positions at `volume` by Lagrange's polynomial through the nearest known volumes."""
    nearest = sorted(known, key=lambda point: abs(point.volume_A3 - volume))[:EXTRAPOLATION_POINTS]
    if not nearest:
        return np.asarray(atoms.cell.scaled_positions(atoms.positions))
    found = np.zeros((len(atoms), 3))
    for point in nearest:
        others = [other.volume_A3 for other in nearest if other is not point]
        weight = np.prod([(volume - other) / (point.volume_A3 - other) for other in others])
        found += weight * point.atoms.cell.scaled_positions(point.atoms.positions)
    return found
