"""The fit against published DFT bulk moduli and against curves whose parameters are known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.eos import birchmurnaghan

from mof_benchmark.calculations.equation_of_state import fit_equation_of_state, volumes_around
from mof_benchmark.errors import CalculationFailedError

PUBLISHED = Path(__file__).parents[3].parent / "shared" / "data" / "dft" / "bulk_modulus.csv"


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs ../shared/data/dft/bulk_modulus.csv")
def test_the_fit_gives_the_published_moduli_of_the_published_energies() -> None:
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        energies = [e * units.Hartree for e in json.loads(row["energies_au"])]
        fit = fit_equation_of_state(json.loads(row["volumes_A3"]), energies, "birchmurnaghan")
        assert fit.bulk_modulus_GPa == pytest.approx(float(row["B0_GPa"]), rel=0.002), row["structure"]


def test_the_parameters_of_a_known_curve_come_back() -> None:
    volumes = volumes_around(156.0, 0.04, 11)
    energies = birchmurnaghan(np.array(volumes), -95.5, 27.0 * units.GPa, 4.5, 156.3)
    fit = fit_equation_of_state(volumes, list(energies), "birchmurnaghan")
    assert fit.bulk_modulus_GPa == pytest.approx(27.0, rel=1e-5)
    assert fit.volume_A3 == pytest.approx(156.3, rel=1e-6)
    assert fit.energy_eV == pytest.approx(-95.5, abs=1e-7)
    assert fit.pressure_derivative == pytest.approx(4.5, rel=1e-4)
    assert fit.rmse_eV < 1e-7
    assert fit.minimum_inside


def test_volumes_are_spaced_in_the_volume_and_include_both_ends() -> None:
    assert volumes_around(100.0, 0.04, 5) == pytest.approx([96, 98, 100, 102, 104])


def test_a_minimum_at_the_edge_of_the_range_is_noticed() -> None:
    volumes = volumes_around(150.0, 0.04, 11)
    energies = birchmurnaghan(np.array(volumes), -95.5, 27.0 * units.GPa, 4.5, 157.0)
    assert not fit_equation_of_state(volumes, list(energies), "birchmurnaghan").minimum_inside


def test_energies_without_a_minimum_are_refused() -> None:
    volumes = volumes_around(150.0, 0.04, 11)
    with pytest.raises(CalculationFailedError, match="no minimum"):
        fit_equation_of_state(volumes, [-((v - 150.0) ** 2) for v in volumes], "birchmurnaghan")
