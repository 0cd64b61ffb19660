"""Stability runs with the real model, short ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io.trajectory import Trajectory

from mof_benchmark.calculations import stability
from mof_benchmark.calculations.dynamics import Series
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import StoppedError, UnphysicalError
from mof_benchmark.monitor import SilentMonitor
from mof_benchmark.schemas.stability import MetalCoordination, StabilityParameters


class StopAt(SilentMonitor):
    """Asks to stop in one stage at one step."""

    def __init__(self, stage: str, step: int) -> None:
        self.at = (stage, step)

    def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
        if (stage, current) == self.at:
            raise StoppedError


def parameters(**changes: Any) -> StabilityParameters:
    settings = {
        "opt": {"fmax": 0.05, "max_steps": 20},
        "nvt": {"steps": 10},
        "npt": {"steps": 20},
        "trajectory_interval": 5,
        "checkpoint_interval": 5,
        "supercell": [2, 2, 2],
    }
    return StabilityParameters.model_validate(settings | changes)


@pytest.fixture
def magnesia_crystal() -> Atoms:
    return bulk("MgO", "rocksalt", a=4.25)


def test_a_stable_crystal_is_called_stable(
    magnesia_crystal: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    settings = parameters(npt={"steps": 60}, nvt={"steps": 60, "friction_per_fs": 0.05})
    result = stability.run(magnesia_crystal, calculator, settings, workdir=tmp_path)
    assert result.stable
    assert result.reasons == []
    assert set(result.criteria) == {"volume", "bonds", "coordination", "temperature"}
    assert [c.metal for c in result.coordination] == ["Mg"]
    assert result.coordination[0].initial == result.coordination[0].final == 6
    assert result.steps == 120
    assert result.simulated_ps == pytest.approx(0.12)
    assert result.metrics.force_evaluations >= 120
    assert all((tmp_path / file.path).stat().st_size > 0 for file in result.output_files)


def test_a_resumed_stage_gives_the_trajectory_of_one_never_stopped(
    magnesia_crystal: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    settings = parameters()
    atoms = magnesia_crystal.repeat(2)

    def dynamics(folder: str, **options: Any) -> stability.DynamicsRun:
        arguments = {"workdir": tmp_path / folder, "monitor": SilentMonitor()} | options
        return stability.dynamics(atoms, calculator, settings, "npt", **arguments)

    whole = dynamics("whole")
    with pytest.raises(StoppedError):
        dynamics("first", monitor=StopAt("npt", 13))
    resumed = dynamics("second", resume=stability.run_files(tmp_path / "first", "npt"))
    assert np.array_equal(resumed.atoms.positions, whole.atoms.positions)
    assert np.array_equal(resumed.atoms.get_momenta(), whole.atoms.get_momenta())
    assert vars(resumed.series) == vars(whole.series)
    with Trajectory(tmp_path / "whole/npt.traj") as a, Trajectory(tmp_path / "second/npt.traj") as b:
        assert [np.array_equal(x.positions, y.positions) for x, y in zip(a, b, strict=True)] == [True] * 5


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    magnesia_crystal: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    def end(seed: int, folder: str) -> np.ndarray:
        run = stability.dynamics(
            magnesia_crystal,
            calculator,
            parameters(seed=seed),
            "nvt",
            workdir=tmp_path / folder,
            monitor=SilentMonitor(),
        )
        return run.atoms.positions

    assert np.array_equal(end(1, "a"), end(1, "b"))
    assert not np.allclose(end(1, "c"), end(2, "d"), atol=1e-4)


def test_a_structure_that_flies_apart_says_why(calculator: MeteredCalculator, tmp_path: Path) -> None:
    hot = parameters(npt={"steps": 40, "temperature_K": 300, "timestep_fs": 10}, supercell=[1, 1, 1])
    crushed = bulk("MgO", "rocksalt", a=3.2)
    with pytest.raises(UnphysicalError):
        stability.run(
            crushed,
            calculator,
            hot.model_copy(update={"opt": hot.opt.model_copy(update={"max_steps": 1})}),
            workdir=tmp_path,
        )
    assert (tmp_path / "nvt.traj").exists()


def test_reasons_name_what_broke() -> None:
    settings = parameters()
    series = Series(temperature_K=[900.0], step=[0])
    criteria, reasons = stability._criteria(
        -23.0,
        (5, 100),
        [MetalCoordination(metal="Zn", initial=4, relaxed=4, final=2.5)],
        series,
        settings.npt,
        1000,
    )
    assert not any(criteria.values())
    assert [sentence.split()[0:2] for sentence in reasons] == [
        ["The", "volume"],
        ["5", "of"],
        ["The", "coordination"],
        ["The", "mean"],
    ]
