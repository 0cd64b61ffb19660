"""Counting, timing and watching: what the metered calculator adds to a model."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import (
    CalculationFailedError,
    OutOfMemoryError,
    UnphysicalError,
    UnsupportedElementError,
)


class Harmonic(Calculator):
    """A complete tiny potential: each atom on a spring to the origin; `stiffness` may be absurd."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, stiffness: float, error: Exception | None = None) -> None:
        super().__init__()
        self.stiffness = stiffness
        self.error = error

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.error is not None:
            raise self.error
        self.results = {
            "energy": 0.5 * self.stiffness * float((self.atoms.positions**2).sum()),
            "forces": -self.stiffness * self.atoms.positions,
            "stress": np.zeros(6),
        }


def on(potential: Potential, stiffness: float, error: Exception | None = None) -> MeteredCalculator:
    harmonic = dataclasses.replace(potential, make_calculator=lambda: Harmonic(stiffness, error))
    return MeteredCalculator(harmonic, with_d3=False)


def test_energy_forces_and_stress_cost_one_evaluation(calculator: MeteredCalculator, magnesia: Atoms) -> None:
    magnesia.calc = calculator
    magnesia.get_potential_energy()
    magnesia.get_forces()
    magnesia.get_stress()
    magnesia.get_potential_energy(force_consistent=True)
    assert calculator.force_evaluations == 1
    magnesia.rattle(0.01, seed=3)
    magnesia.get_stress()
    assert calculator.force_evaluations == 2


def test_time_is_split_into_model_dispersion_and_rest(calculator: MeteredCalculator, magnesia: Atoms) -> None:
    magnesia.calc = calculator
    calculator.start()
    magnesia.get_potential_energy()
    spent = calculator.metrics(steps=1)
    assert spent.model_seconds > 0
    assert spent.d3_seconds > 0
    total = spent.model_seconds + spent.d3_seconds + spent.other_seconds
    assert spent.avg_step_time_ms == pytest.approx(1e3 * total, rel=1e-6)
    assert spent.peak_memory_MB is not None
    assert 50 < spent.peak_memory_MB < 50_000


@pytest.mark.parametrize("stiffness", [float("nan"), float("inf"), 1e9])
def test_numbers_that_cannot_be_physics_end_the_calculation(
    stiffness: float, sevennet: Potential, magnesia: Atoms
) -> None:
    magnesia.calc = on(sevennet, stiffness)
    with pytest.raises(UnphysicalError) as caught:
        magnesia.get_forces()
    assert caught.value.code == 50008


def test_a_position_that_is_not_a_number_never_reaches_the_model(
    calculator: MeteredCalculator, magnesia: Atoms
) -> None:
    magnesia.calc = calculator
    magnesia.positions[1, 2] = np.nan
    with pytest.raises(UnphysicalError, match="NaN"):
        magnesia.get_forces()
    assert calculator.force_evaluations == 0


def test_a_collapsed_cell_never_reaches_the_model(calculator: MeteredCalculator, magnesia: Atoms) -> None:
    magnesia.set_cell(magnesia.cell[:] * 0.1, scale_atoms=True)
    magnesia.calc = calculator
    with pytest.raises(UnphysicalError, match="collapsed"):
        magnesia.get_forces()


def test_an_element_the_model_does_not_know_is_named(calculator: MeteredCalculator) -> None:
    americium = bulk("Am", "fcc", a=4.9)
    americium.calc = calculator
    with pytest.raises(UnsupportedElementError, match="Am") as caught:
        americium.get_potential_energy()
    assert caught.value.code == 40006


def test_a_device_out_of_memory_is_called_that(sevennet: Potential, magnesia: Atoms) -> None:
    import torch

    magnesia.calc = on(sevennet, 1.0, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 90 GiB"))
    with pytest.raises(OutOfMemoryError, match="90 GiB") as caught:
        magnesia.get_forces()
    assert caught.value.code == 50007


def test_a_device_out_of_memory_inside_torchscript_is_called_that(
    sevennet: Potential, magnesia: Atoms
) -> None:
    trace = "The following operation failed in the TorchScript interpreter.\n…\nRuntimeError: "
    memory = "CUDA out of memory. Tried to allocate 2.17 GiB."
    magnesia.calc = on(sevennet, 1.0, RuntimeError(f"{trace}{memory}\n\n"))
    with pytest.raises(OutOfMemoryError, match=r"2\.17 GiB") as caught:
        magnesia.get_forces()
    assert "TorchScript" not in str(caught.value)


def test_of_a_failure_inside_torchscript_only_its_own_words_are_told(
    sevennet: Potential, magnesia: Atoms
) -> None:
    trace = "The following operation failed in the TorchScript interpreter.\n  File b.py, line 3\n"
    device = "CUDA error: an illegal memory access was encountered"
    magnesia.calc = on(sevennet, 1.0, RuntimeError(f"{trace}RuntimeError: {device}\nCompile with …\n"))
    with pytest.raises(CalculationFailedError) as caught:
        magnesia.get_forces()
    assert caught.value.detail == f"The model failed on 2 atoms: {device}"


def test_several_structures_give_what_each_gives_alone(
    calculator: MeteredCalculator, magnesia: Atoms
) -> None:
    structures = [magnesia, magnesia.repeat((1, 1, 2)), molecule("H2O")]
    calculator.start()
    together = list(calculator.evaluate_many(structures))
    assert calculator.force_evaluations == 3
    for atoms, results in zip(structures, together, strict=True):
        calculator.reset()
        calculator.calculate(atoms)
        assert results.keys() == calculator.results.keys()
        for name, value in calculator.results.items():
            np.testing.assert_array_equal(results[name], value)


def test_an_unknown_element_among_several_structures_is_found_before_any_is_computed(
    calculator: MeteredCalculator, magnesia: Atoms
) -> None:
    calculator.start()
    with pytest.raises(UnsupportedElementError, match="Og"):
        list(calculator.evaluate_many([magnesia, Atoms("Og")]))
    assert calculator.force_evaluations == 0


def test_any_other_failure_of_a_model_is_a_failed_calculation(sevennet: Potential, magnesia: Atoms) -> None:
    magnesia.calc = on(sevennet, 1.0, RuntimeError("shape mismatch"))
    with pytest.raises(CalculationFailedError, match="shape mismatch"):
        magnesia.get_forces()


def test_a_structure_larger_than_the_memory_is_refused_before_it_is_tried(
    sevennet: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    calculator = sevennet.make_calculator()
    monkeypatch.setattr(calculator._passes, "_bytes_per_edge", 1e12)
    with pytest.raises(OutOfMemoryError, match="GB"):
        calculator.calculate(bulk("MgO", "rocksalt", a=4.2))
