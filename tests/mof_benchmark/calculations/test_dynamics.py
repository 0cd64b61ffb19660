"""Ensembles, and runs that are interrupted and go on as if they had not been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io.trajectory import Trajectory
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from mof_benchmark.calculations import dynamics
from mof_benchmark.calculations.dynamics import RunFiles, Series, run_dynamics, upper_triangular
from mof_benchmark.errors import StoppedError, UnphysicalError
from mof_benchmark.monitor import SilentMonitor
from mof_benchmark.schemas.stability import NptSettings, NvtSettings


class StopAt(SilentMonitor):
    """Keeps the steps it was told, and asks to stop at one, as a cancelled task's monitor does."""

    def __init__(self, step: int | None = None) -> None:
        self.at = step
        self.steps: list[int] = []

    def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
        self.steps.append(current)
        if current == self.at:
            raise StoppedError


def copper(temperature_K: float = 300, *, repeat: int = 1) -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat(repeat)
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=np.random.default_rng(3))
    atoms.calc = EMT()
    return atoms


def files(folder: Path) -> RunFiles:
    folder.mkdir(exist_ok=True)
    return RunFiles(trajectory=folder / "run.traj", checkpoint=folder / "run.npz")


def run(settings: Any, folder: Path, **options: Any) -> tuple[Atoms, Series]:
    arguments = {
        "resume": None,
        "monitor": SilentMonitor(),
        "trajectory_interval": 5,
        "checkpoint_interval": 10,
    }
    return run_dynamics(
        options.pop("atoms", None) or copper(),
        settings,
        stage="md",
        generator=np.random.default_rng(11),
        files=files(folder),
        **(arguments | options),
    )


@pytest.mark.parametrize(
    "settings",
    [
        *(
            NvtSettings(dynamics=name, steps=30)
            for name in ("langevin", "berendsen", "nose_hoover_chain", "bussi")
        ),
        *(
            NptSettings(dynamics=name, steps=30)
            for name in ("isotropic_mtk", "mtk", "berendsen", "melchionna")
        ),
    ],
    ids=lambda s: f"{type(s).__name__}-{s.dynamics}",
)
def test_an_interrupted_run_gives_the_trajectory_of_one_never_stopped(settings: Any, tmp_path: Path) -> None:
    whole, whole_series = run(settings, tmp_path / "whole")
    with pytest.raises(StoppedError):
        run(settings, tmp_path / "first", monitor=StopAt(17))
    resumed, resumed_series = run(settings, tmp_path / "second", resume=files(tmp_path / "first"))
    # EMT keeps a neighbour list with a skin, so its sums differ in the last bit between the two.
    assert np.allclose(resumed.positions, whole.positions, rtol=0, atol=1e-11)
    assert np.allclose(resumed.get_momenta(), whole.get_momenta(), rtol=0, atol=1e-11)
    assert np.allclose(resumed.cell, whole.cell, rtol=0, atol=1e-11)
    for name, values in vars(whole_series).items():
        assert getattr(resumed_series, name) == pytest.approx(values, rel=1e-9), name
    with Trajectory(tmp_path / "whole/run.traj") as a, Trajectory(tmp_path / "second/run.traj") as b:
        assert len(a) == len(b) == 7
        assert all(np.allclose(x.positions, y.positions, atol=1e-11) for x, y in zip(a, b, strict=True))


def test_where_steps_are_slow_a_checkpoint_comes_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = NvtSettings(steps=30)
    whole, _ = run(settings, tmp_path / "whole")
    monkeypatch.setattr(dynamics, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(StoppedError):
        run(settings, tmp_path / "first", monitor=StopAt(17), checkpoint_interval=1000)
    monkeypatch.undo()
    rest = StopAt()
    resumed, _ = run(settings, tmp_path / "second", resume=files(tmp_path / "first"), monitor=rest)
    assert rest.steps == list(range(18, 31))
    assert np.allclose(resumed.positions, whole.positions, rtol=0, atol=1e-11)


def test_langevin_dynamics_reaches_its_temperature(tmp_path: Path) -> None:
    settings = NvtSettings(steps=400, friction_per_fs=0.05, timestep_fs=2)
    _, series = run(settings, tmp_path, atoms=copper(50, repeat=2))
    assert np.mean(series.temperature_K[15:]) == pytest.approx(300, rel=0.1)


def test_the_barostat_reaches_its_pressure(tmp_path: Path) -> None:
    settings = NptSettings(steps=400, timestep_fs=4, pressure_bar=20_000, pdamp_fs=200)
    _, series = run(settings, tmp_path, atoms=copper(600, repeat=2))
    assert np.mean(series.pressure_GPa[20:]) == pytest.approx(2.0, abs=0.5)
    assert np.mean(series.volume_A3[20:]) < series.volume_A3[0]


def test_an_exploding_run_is_called_unphysical_and_keeps_its_files(tmp_path: Path) -> None:
    with pytest.raises(UnphysicalError, match="K at step"):
        run(
            NvtSettings(dynamics="nose_hoover_chain", steps=50, temperature_K=10),
            tmp_path,
            atoms=copper(9000),
        )
    with Trajectory(tmp_path / "run.traj") as trajectory:
        assert len(trajectory) >= 1


def test_turning_the_cell_upper_triangular_changes_no_distance() -> None:
    atoms = bulk("Cu", "fcc", a=3.6).repeat(2)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(3))
    turned = upper_triangular(atoms)
    assert np.allclose(turned.cell.array, np.triu(turned.cell.array), atol=1e-12)
    assert turned.get_volume() == pytest.approx(atoms.get_volume())
    assert np.linalg.det(turned.cell.array) * np.linalg.det(atoms.cell.array) > 0
    assert np.allclose(turned.get_all_distances(mic=True), atoms.get_all_distances(mic=True))
    assert turned.get_kinetic_energy() == pytest.approx(atoms.get_kinetic_energy())
    assert turned.get_kinetic_energy() > 0.01 * units.eV
