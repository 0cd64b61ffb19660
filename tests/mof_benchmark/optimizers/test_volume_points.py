"""The walk over volumes against relaxing every volume on its own."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS

from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import StoppedError
from mof_benchmark.monitor import SilentMonitor
from mof_benchmark.optimizers import ModelHessianLBFGS, relax_at_volumes


@pytest.fixture
def relaxed() -> Atoms:
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.numbers[:3] = 79
    atoms.rattle(0.05, seed=4)
    atoms.calc = EMT()
    ModelHessianLBFGS(FrechetCellFilter(atoms)).run(fmax=1e-3, steps=300)
    return atoms


def test_points_come_back_in_the_order_asked_for_and_the_input_stays_as_it_was(relaxed: Atoms) -> None:
    before, origin = relaxed.copy(), relaxed.get_volume()
    volumes = [1.02 * origin, 0.97 * origin, origin, 1.01 * origin]
    points = relax_at_volumes(relaxed, EMT(), volumes)
    np.testing.assert_allclose([point.volume_A3 for point in points], volumes)
    np.testing.assert_allclose([point.atoms.get_volume() for point in points], volumes)
    assert all(point.converged and point.fmax_eV_A < 1e-3 for point in points)
    assert points[2].energy_eV == min(point.energy_eV for point in points)
    assert before == relaxed


def test_every_point_is_the_minimum_that_a_start_of_its_own_finds(
    rsm0004: Atoms, calculator: MeteredCalculator
) -> None:
    atoms = rsm0004.copy()
    atoms.calc = calculator
    ModelHessianLBFGS(FrechetCellFilter(atoms)).run(fmax=1e-3, steps=300)
    volumes = atoms.get_volume() * np.linspace(0.98, 1.02, 5)
    points = relax_at_volumes(atoms, calculator, list(volumes))
    assert all(point.converged for point in points)
    alone_calls = 0
    for point in (points[0], points[-1]):
        alone = atoms.copy()
        alone.set_cell(point.atoms.cell, scale_atoms=True)
        alone.calc = calculator
        optimizer = LBFGS(alone, logfile=None)
        optimizer.run(fmax=1e-3, steps=300)
        alone_calls += optimizer.nsteps + 1
        assert point.energy_eV == pytest.approx(alone.get_potential_energy(), abs=1e-5 * len(atoms))
    assert sum(point.force_calls for point in points) < alone_calls


def test_a_point_that_does_not_converge_is_kept_and_says_so(relaxed: Atoms) -> None:
    relaxed.rattle(0.05, seed=1)
    volume = relaxed.get_volume()
    (point,) = relax_at_volumes(relaxed, EMT(), [1.03 * volume], max_steps=1)
    assert not point.converged
    assert point.fmax_eV_A > 1e-3
    assert point.force_calls == 2


def test_the_walk_stops_at_a_step_when_it_is_told_to(relaxed: Atoms) -> None:
    class Impatient(SilentMonitor):
        seen = 0

        def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
            assert set(values) == {"volume_A3", "energy_eV", "fmax_eV_A"}
            self.seen += 1
            if self.seen == 3:
                raise StoppedError

    monitor = Impatient()
    volume = relaxed.get_volume()
    with pytest.raises(StoppedError):
        relax_at_volumes(relaxed, EMT(), [volume, 1.05 * volume, 0.95 * volume], monitor=monitor)
    assert monitor.seen == 3
