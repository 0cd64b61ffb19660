"""L-BFGS that starts from a model Hessian instead of one number."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.optimize.optimize import Optimizer

from mof_benchmark.optimizers.springs import (
    Coordinates,
    FactoredHessian,
    Floats,
    SpringModel,
    model_hessian,
)

ENERGY_NOISE_EV_PER_ATOM = 1e-5
"""An energy may rise this much and still count as equal: float32 models are no better."""

PLAIN_STIFFNESS_EV_A2 = 70.0
"""The one number that ASE's LBFGS starts from."""

STIFFENING = 1.5
"""A step that raised the energy says that the model was too soft, by about this factor."""


class ModelHessianLBFGS(Optimizer):
    """L-BFGS preconditioned by a model Hessian over atoms and strain.

    A step that raises the energy is taken back: the history is dropped, the model Hessian is
    built anew and the next step is shorter. After `patience` such steps in a row the model gives
    way to the single number of ASE's LBFGS, so that a structure the springs describe badly is
    still optimized. Works on `Atoms` and on ASE's cell filters, with ASE's own convergence test.

    Parameters
    ----------
    atoms
        `Atoms`, `FrechetCellFilter`, `ExpCellFilter` or `UnitCellFilter`.
    maxstep
        Longest motion of an atom in one step, Å.
    springs
        The spring model.
    memory
        Number of remembered steps.
    patience
        Steps taken back in a row before the model Hessian is given up.
    previous
        An optimizer of the same atoms at another volume, whose curvature is carried over; only for
        `Atoms`, as the coordinates of a cell filter belong to one filter.
    """

    def __init__(
        self,
        atoms: Any,
        restart: None = None,
        logfile: Any = None,
        trajectory: Any = None,
        *,
        maxstep: float = 0.2,
        springs: SpringModel | None = None,
        memory: int = 100,
        patience: int = 4,
        previous: ModelHessianLBFGS | None = None,
        **kwargs: Any,
    ) -> None:
        self.target = atoms
        self.maxstep = maxstep
        self.springs = springs or SpringModel()
        self.patience = patience
        self.previous = previous
        self.memory = memory
        super().__init__(atoms, restart, logfile, trajectory, **kwargs)

    def initialize(self) -> None:
        self.coordinates = Coordinates.of(self.target)
        self.trust_A = self.maxstep
        self.failures = 0
        self.stiffening = 1.0
        self.point: Point | None = None
        self.history: History = self.previous.history if self.previous else History(self.memory)
        self.hessian: FactoredHessian | None = self.previous.hessian if self.previous else None

    def step(self, forces: Any = None) -> None:
        """Judge the present point, then move on from the best one known."""
        here = self.optimizable.get_x().copy()
        gradient = -np.ravel(forces) if forces is not None else self.optimizable.get_gradient().copy()
        energy = float(self.optimizable.get_value())
        best = self.point
        if best is not None and self._rose(energy, best.energy_eV):
            self._take_back(best)
        else:
            if best is not None:
                self.history.add(here - best.x, gradient - best.gradient)
                self.trust_A = min(self.maxstep, 1.5 * self.trust_A)
            self.failures = 0
            self.point = best = Point(here, gradient, energy)
        step = -self.history.apply(best.gradient, self._solve)
        if step @ best.gradient >= 0.0:
            self.history.clear()
            step = -self._solve(best.gradient)
        motion = self.coordinates.largest_motion_A(step)
        self.optimizable.set_x(best.x + step * min(1.0, self.trust_A / motion))

    def _rose(self, energy_eV: float, best_eV: float) -> bool:
        noise = ENERGY_NOISE_EV_PER_ATOM * len(self.coordinates.atoms)
        return not energy_eV <= best_eV + noise

    def _take_back(self, best: Point) -> None:
        self.optimizable.set_x(best.x)
        self.history.clear()
        self.hessian = None
        self.failures += 1
        self.stiffening *= STIFFENING
        self.trust_A *= 0.3

    def _solve(self, gradient: Floats) -> Floats:
        if self.failures > self.patience:
            return gradient / PLAIN_STIFFNESS_EV_A2
        if self.hessian is None:
            self.coordinates = Coordinates.of(self.target)
            self.hessian = FactoredHessian(model_hessian(self.coordinates, self.springs))
        return self.hessian.solve(gradient) / self.stiffening


@dataclass(frozen=True)
class Point:
    """The best point so far: coordinates, gradient in eV/Å, energy."""

    x: Floats
    gradient: Floats
    energy_eV: float


class History:
    """The last steps and gradient changes of an optimization (Nocedal's two-loop recursion)."""

    def __init__(self, memory: int = 100) -> None:
        self._pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=memory)

    def add(self, step: Floats, change: Floats) -> None:
        """Remember a step, unless the curvature along it was not positive."""
        curvature = float(step @ change)
        if curvature > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            self._pairs.append((step, change, 1.0 / curvature))

    def clear(self) -> None:
        self._pairs.clear()

    def apply(self, gradient: Floats, solve: Any) -> Floats:
        """Inverse Hessian times `gradient`, with `solve` as the inverse Hessian before any step."""
        rest = gradient.copy()
        weights = []
        for step, change, inverse in reversed(self._pairs):
            weight = inverse * float(step @ rest)
            rest -= weight * change
            weights.append(weight)
        found: Floats = solve(rest)
        for (step, change, inverse), weight in zip(self._pairs, reversed(weights), strict=True):
            found = found + (weight - inverse * float(change @ found)) * step
        return found
