"""Bulk modulus with the real model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mof_benchmark.calculations import bulk_modulus
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.schemas.bulk_modulus import BulkModulusParameters, VolumePoint


def test_rsm0004_has_the_reference_modulus_in_a_fraction_of_the_calls(
    rsm0004: Atoms, reference: dict[str, Any], calculator: MeteredCalculator, tmp_path: Path
) -> None:
    result = bulk_modulus.run(rsm0004, calculator, BulkModulusParameters(), workdir=tmp_path)
    expected = reference["RSM0004"]["bulk_modulus"]
    assert result.converged
    assert result.bulk_modulus_GPa == pytest.approx(expected["bulk_modulus_GPa"], rel=0.02)
    assert result.equilibrium_volume_A3 == pytest.approx(expected["equilibrium_volume_A3"], rel=0.002)
    assert result.equilibrium_energy_eV == pytest.approx(
        expected["equilibrium_energy_eV"], abs=1e-4 * len(rsm0004)
    )
    relaxation_calls = reference["RSM0004"]["optimization"]["force_calls"]
    assert result.metrics.force_evaluations - relaxation_calls < expected["force_calls_of_the_11_points"] / 10
    assert len(result.volumes_A3) == 11
    assert max(result.volumes_A3) / min(result.volumes_A3) == pytest.approx(1.04 / 0.96)
    assert all((tmp_path / file.path).stat().st_size > 0 for file in result.output_files)


def test_the_published_road_gives_the_same_modulus(calculator: MeteredCalculator, tmp_path: Path) -> None:
    magnesia = bulk("MgO", "rocksalt", a=4.25)
    fast, published = (
        bulk_modulus.run(
            magnesia,
            calculator,
            BulkModulusParameters(protocol=protocol, n_points=7, fmax=0.005),
            workdir=tmp_path / protocol,
        )
        for protocol in ("default", "mofsimbench")
    )
    assert fast.bulk_modulus_GPa == pytest.approx(published.bulk_modulus_GPa, rel=0.01)
    # Experiment: 160 GPa; PBE softens it.
    assert 120 < fast.bulk_modulus_GPa < 190


def test_a_minimum_outside_the_range_is_warned_of(calculator: MeteredCalculator, tmp_path: Path) -> None:
    stretched = bulk("MgO", "rocksalt", a=4.31)
    parameters = BulkModulusParameters(optimize_first=False, strain_range=0.02, n_points=7)
    result = bulk_modulus.run(stretched, calculator, parameters, workdir=tmp_path)
    assert any("edge of the range" in warning for warning in result.warnings)


def test_points_that_did_not_converge_are_named_and_kept(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    rattled = bulk("MgO", "rocksalt", a=4.22)
    rattled.rattle(0.02, seed=1)
    parameters = BulkModulusParameters(
        optimize_first=False, max_steps=1, n_points=5, fmax=1e-6, strain_range=0.1
    )
    result = bulk_modulus.run(rattled, calculator, parameters, workdir=tmp_path)
    assert not result.converged
    assert result.points_converged == [False] * 5
    assert any("did not converge" in warning for warning in result.warnings)


@pytest.mark.parametrize(("lower_by_eV", "warned"), [(0.0, False), (0.01, True)])
def test_a_point_of_another_shape_is_told_by_the_fit(
    calculator: MeteredCalculator, tmp_path: Path, lower_by_eV: float, warned: bool
) -> None:
    """The curve is MgO's; its most compressed point falls below it, as that of RSM0011 does."""
    solid = bulk("MgO", "rocksalt", a=4.23, cubic=True)
    parameters = BulkModulusParameters(optimize_first=False, n_points=7)
    smooth = bulk_modulus.run(solid, calculator, parameters, workdir=tmp_path)
    points = [
        VolumePoint(volume_A3=volume, energy_eV=energy, converged=True, fmax_eV_A=0.0)
        for volume, energy in zip(smooth.volumes_A3, smooth.energies_eV, strict=True)
    ]
    points[0].energy_eV -= lower_by_eV
    result = bulk_modulus.fit(solid, None, points, [], smooth.provenance, parameters, workdir=tmp_path)
    assert any("fit is poor" in warning for warning in result.warnings) is warned


def test_a_molecule_has_no_bulk_modulus(calculator: MeteredCalculator, tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match="periodic"):
        bulk_modulus.run(molecule("CO2"), calculator, BulkModulusParameters(), workdir=tmp_path)
