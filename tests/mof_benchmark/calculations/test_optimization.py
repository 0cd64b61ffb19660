"""Relaxations: the reference's minimum, every optimizer, and every way to go wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from mof_benchmark.calculations import optimization
from mof_benchmark.calculations.common import rmsd_without_strain_A
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidParameterError, StoppedError, UnphysicalError
from mof_benchmark.schemas import OptimizationParameters, OptimizationResult


class Steps:
    """A monitor that keeps what it is told, and stops when it is time."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.seen: list[tuple[str, int, int | None, dict[str, float]]] = []

    def step(self, stage: str, current: int, total: int | None, **values: float) -> None:
        self.seen.append((stage, current, total, values))
        if current == self.stop_at:
            raise StoppedError("cancelled")

    def log(self, level: str, message: str, **extra: Any) -> None:
        return None


class ConstantPressure(Calculator):
    """Energy proportional to the volume: pulls every cell down to nothing."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        pull = 0.5
        self.results = {
            "energy": pull * self.atoms.cell.volume,
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": np.array([pull] * 3 + [0.0] * 3),
        }


class NumbersEnd(Calculator):
    """A model that answers with NaN as soon as an atom has moved half an ångström."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        height = self.atoms.positions[0, 2]
        forces = np.zeros((len(self.atoms), 3))
        forces[0, 2] = 5.0 if height < 0.5 else np.nan
        self.results = {"energy": -5.0 * height, "forces": forces, "stress": np.zeros(6)}


class Washboard(Calculator):
    """A slope with many small wells for the first atom."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        height, wave = self.atoms.positions[0, 2], 2 * np.pi / 0.1
        forces = np.zeros((len(self.atoms), 3))
        forces[0, 2] = 0.5 - 0.5 * height + 0.01 * wave * np.sin(wave * height)
        energy = 0.25 * height**2 - 0.5 * height + 0.01 * np.cos(wave * height)
        self.results = {"energy": energy, "forces": forces, "stress": np.zeros(6)}


def bad(potential: Potential, kind: type[Calculator]) -> MeteredCalculator:
    return MeteredCalculator(dataclasses.replace(potential, make_calculator=kind), with_d3=False)


@pytest.fixture(scope="module")
def relaxed(
    rsm0004: Atoms, sevennet: Potential, tmp_path_factory: pytest.TempPathFactory
) -> tuple[OptimizationResult, Path, Steps]:
    """The default relaxation of a real MOF, with its files and what it reported."""
    workdir, monitor = tmp_path_factory.mktemp("relaxed"), Steps()
    untouched = rsm0004.copy()
    result = optimization.run(
        rsm0004, MeteredCalculator(sevennet), OptimizationParameters(), workdir=workdir, monitor=monitor
    )
    assert rsm0004 == untouched
    return result, workdir, monitor


def test_the_default_reaches_the_reference_s_minimum(
    relaxed: tuple[OptimizationResult, Path, Steps], reference: dict[str, Any]
) -> None:
    result, expected = relaxed[0], reference["RSM0004"]["optimization"]
    assert result.converged
    assert result.final_energy_eV == pytest.approx(expected["final_energy_eV"], abs=1e-4 * 13)
    assert result.final_volume_A3 == pytest.approx(expected["final_volume_A3"], rel=1e-3)
    assert result.steps == pytest.approx(expected["steps"], rel=0.1)
    assert result.metrics.force_evaluations == result.steps + 1


def test_the_histories_tell_the_whole_way(relaxed: tuple[OptimizationResult, Path, Steps]) -> None:
    result, _, monitor = relaxed
    assert len(result.energy_history) == len(result.fmax_history) == result.steps + 1
    assert result.energy_history[0] == result.initial_energy_eV
    assert result.energy_history[-1] == result.final_energy_eV
    assert result.fmax_history[-1] == result.final_fmax < 0.001
    assert [current for _, current, _, _ in monitor.seen] == list(range(result.steps + 1))
    stage, _, total, values = monitor.seen[-1]
    assert (stage, total) == ("optimize", 1000)
    assert values.keys() == {"energy_eV", "fmax_eV_A", "volume_A3"}


def test_every_file_of_a_relaxation_can_be_read(relaxed: tuple[OptimizationResult, Path, Steps]) -> None:
    result, workdir, _ = relaxed
    files = {file.role: workdir / file.path for file in result.output_files}
    for role in ("trajectory", "trajectory_extxyz"):
        frames = ase.io.read(files[role], index=":")
        assert [frame.info["step"] for frame in frames[:3]] == [0, 10, 20]
        assert frames[-1].info["step"] == result.steps
        assert frames[-1].get_potential_energy() == pytest.approx(result.final_energy_eV, abs=1e-6)
        assert np.abs(frames[-1].get_forces()).max() < 1e-3
    for role in ("optimized_structure", "optimized_structure_extxyz"):
        assert ase.io.read(files[role]).cell.volume == pytest.approx(result.final_volume_A3, rel=1e-6)
    assert files["convergence_plot"].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in files["convergence_plot_svg"].read_text()
    assert not list(workdir.glob(".*"))


def test_an_unconverged_relaxation_is_kept_and_flagged(
    magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    result = optimization.run(magnesia, calculator, OptimizationParameters(max_steps=2), workdir=tmp_path)
    assert not result.converged
    assert result.steps == 2
    assert result.final_fmax > 0.001
    assert "Not converged" in result.warnings[0]
    assert {"optimized_structure", "trajectory"} <= {file.role for file in result.output_files}


def test_a_stopped_relaxation_leaves_readable_files(
    magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        optimization.run(
            magnesia, calculator, OptimizationParameters(), workdir=tmp_path, monitor=Steps(stop_at=4)
        )
    frames = ase.io.read(tmp_path / "trajectory.traj", index=":")
    assert [frame.info["step"] for frame in frames] == [0, 4]
    assert len(ase.io.read(tmp_path / "optimized.cif")) == len(magnesia)
    assert not (tmp_path / "convergence.png").exists(), "nobody waits for a picture"


@pytest.mark.parametrize(
    "optimizer",
    [
        "LBFGS",
        "BFGS",
        "FIRE",
        "MDMin",
        "LBFGSLineSearch",
        "BFGSLineSearch",
        "GPMin",
        "ODE12r",
        "ModelHessianLBFGS",
    ],
)
def test_every_optimizer_goes_downhill_at_constant_cell(
    optimizer: str, magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    parameters = OptimizationParameters.model_validate(
        {"optimizer": optimizer, "filter": "none", "max_steps": 15, "fmax": 0.01}
    )
    result = optimization.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.final_energy_eV < result.initial_energy_eV - 0.05
    assert result.volume_change_percent == 0.0
    assert result.converged or result.warnings


@pytest.mark.parametrize("cell_filter", ["FrechetCellFilter", "UnitCellFilter", "ExpCellFilter"])
@pytest.mark.parametrize("optimizer", ["LBFGS", "CellAwareBFGS", "ModelHessianLBFGS"])
def test_cell_filters_agree_on_the_minimum(
    optimizer: str, cell_filter: str, magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    parameters = OptimizationParameters.model_validate(
        {"optimizer": optimizer, "filter": cell_filter, "fmax": 0.005, "max_steps": 200}
    )
    result = optimization.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.converged
    assert result.final_volume_A3 == pytest.approx(18.6, abs=0.2)
    lengths = result.cell_parameters
    assert lengths is not None
    assert lengths.a == pytest.approx(lengths.b, rel=0.01) == pytest.approx(lengths.c, rel=0.01)


def test_the_strain_filter_moves_the_cell_only(
    magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    parameters = OptimizationParameters(filter="StrainFilter", optimizer="BFGS", fmax=0.05, max_steps=60)
    result = optimization.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.final_energy_eV < result.initial_energy_eV
    assert result.rmsd_from_initial == pytest.approx(0.0, abs=1e-9)


def test_pressure_makes_the_cell_smaller(
    magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    volumes = [
        optimization.run(
            magnesia, calculator, OptimizationParameters(pressure_GPa=pressure, fmax=0.01), workdir=tmp_path
        ).final_volume_A3
        for pressure in (0.0, 20.0)
    ]
    # MgO has a bulk modulus of about 160 GPa.
    assert volumes[1] / volumes[0] == pytest.approx(0.91, abs=0.03)


def test_a_molecule_relaxes_without_a_cell(calculator: MeteredCalculator, tmp_path: Path) -> None:
    water = molecule("H2O")
    water.positions[1] += [0.0, 0.1, 0.05]
    result = optimization.run(
        water, calculator, OptimizationParameters(filter="none", fmax=0.01), workdir=tmp_path
    )
    assert result.converged
    assert (result.final_volume_A3, result.cell_parameters) == (None, None)
    assert "optimized_structure" not in {file.role for file in result.output_files}


@pytest.mark.parametrize(
    ("atoms", "asked", "field"),
    [
        (molecule("H2O"), {}, "parameters.filter"),
        (Atoms("Cu", cell=[3, 3, 20], pbc=[1, 1, 0]), {}, "parameters.filter"),
        (None, {"filter": "none", "pressure_GPa": 1}, "parameters.pressure_GPa"),
        (None, {"filter": "none", "optimizer": "CellAwareBFGS"}, "parameters.filter"),
        (None, {"filter": "StrainFilter", "optimizer": "ModelHessianLBFGS"}, "parameters.filter"),
    ],
    ids=[
        "molecule",
        "slab",
        "pressure without cell",
        "CellAwareBFGS without cell",
        "model Hessian without atoms",
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_computed(
    atoms: Atoms | None,
    asked: dict[str, Any],
    field: str,
    magnesia: Atoms,
    calculator: MeteredCalculator,
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        optimization.run(
            atoms or magnesia, calculator, OptimizationParameters.model_validate(asked), workdir=tmp_path
        )
    assert (caught.value.code, caught.value.field) == (40002, field)
    assert calculator.force_evaluations == 0


def test_a_collapsing_cell_ends_with_what_happened_and_keeps_the_files(
    magnesia: Atoms, sevennet: Potential, tmp_path: Path
) -> None:
    with pytest.raises(UnphysicalError, match="collapsed") as caught:
        optimization.run(
            magnesia,
            bad(sevennet, ConstantPressure),
            OptimizationParameters(trajectory_interval=1),
            workdir=tmp_path,
        )
    assert caught.value.code == 50008
    frames = ase.io.read(tmp_path / "trajectory.traj", index=":")
    assert len(frames) > 2
    assert frames[-1].cell.volume < frames[0].cell.volume


def test_forces_that_become_nan_end_with_what_happened_and_keep_the_files(
    sevennet: Potential, tmp_path: Path
) -> None:
    with pytest.raises(UnphysicalError, match="NaN"):
        optimization.run(
            Atoms("Cu2", positions=[[0, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True),
            bad(sevennet, NumbersEnd),
            OptimizationParameters(filter="none"),
            workdir=tmp_path,
        )
    last = ase.io.read(tmp_path / "trajectory.traj", index=-1)
    assert 0 < last.positions[0, 2] < 0.5
    assert np.isfinite(last.get_forces()).all()


def test_another_road_to_the_same_minimum_says_so_when_asked(
    magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    parameters = OptimizationParameters(optimizer="ModelHessianLBFGS", fmax=0.01, verify_minimum=True)
    result = optimization.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.same_minimum_as_published is True
    assert result.metrics.force_evaluations > result.steps + 1
    assert not any("another minimum" in warning for warning in result.warnings)


def test_another_road_to_another_minimum_says_so_when_asked(sevennet: Potential, tmp_path: Path) -> None:
    # LBFGS's first step stays in the well it starts from, the model Hessian's does not.
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [3, 3, 3]], cell=[6, 6, 8], pbc=True)
    parameters = OptimizationParameters(optimizer="ModelHessianLBFGS", verify_minimum=True)
    result = optimization.run(atoms, bad(sevennet, Washboard), parameters, workdir=tmp_path)
    assert result.same_minimum_as_published is False
    assert any("led to another minimum" in warning for warning in result.warnings)


def test_the_published_protocol_overrules_and_says_so(
    magnesia: Atoms, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    parameters = OptimizationParameters(protocol="mofsimbench", optimizer="FIRE", fmax=0.5)
    result = optimization.run(magnesia, calculator, parameters, workdir=tmp_path)
    assert result.optimizer == "LBFGS"
    assert result.final_fmax < 0.001
    assert sum("Protocol mofsimbench" in warning for warning in result.warnings) == 2


def test_the_rmsd_ignores_strain_and_shifts_but_sees_a_moved_atom(magnesia: Atoms) -> None:
    strained = magnesia.copy()
    strained.set_cell(magnesia.cell[:] @ np.diag([1.1, 0.95, 1.0]), scale_atoms=True)
    strained.positions += 0.7
    assert rmsd_without_strain_A(magnesia, strained) == pytest.approx(0.0, abs=1e-9)
    moved = magnesia.copy()
    moved.positions[0, 0] += 0.2
    # Half of the move is the shift of the whole.
    assert rmsd_without_strain_A(magnesia, moved) == pytest.approx(0.1, abs=1e-9)

    water, turned = molecule("H2O"), molecule("H2O")
    turned.rotate(40, "z")
    turned.positions += 3.0
    assert rmsd_without_strain_A(water, turned) == pytest.approx(0.0, abs=1e-6)
