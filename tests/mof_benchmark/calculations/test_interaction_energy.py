"""Interaction energies with the real model."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mof_benchmark.calculations import interaction_energy
from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.errors import InvalidFileError
from mof_benchmark.schemas.interaction_energy import InteractionEnergyParameters
from mof_benchmark.units import EV_TO_KJ_MOL


def two_waters(distance_A: float) -> Atoms:
    """A hydrogen-bonded pair in a box, the second one the guest (they look alike: it must be named)."""
    donor, acceptor = molecule("H2O"), molecule("H2O")
    donor.rotate(127.75, "x")
    acceptor.translate([0, distance_A, 0])
    acceptor.rotate(180, "x", center=acceptor.positions[0])
    pair = donor + acceptor
    pair.set_cell([14, 15, 13])
    pair.pbc = True
    pair.center()
    return pair


def test_the_three_terms_are_those_of_separate_evaluations(sevennet: Potential, tmp_path: Path) -> None:
    pair = two_waters(2.95)
    parameters = InteractionEnergyParameters(guest_indices=[3, 4, 5])
    result = interaction_energy.run(pair, MeteredCalculator(sevennet), parameters, workdir=tmp_path)

    def energy(atoms: Atoms) -> float:
        atoms.calc = MeteredCalculator(sevennet)
        return float(atoms.get_potential_energy())

    expected = energy(pair.copy()) - energy(pair[:3]) - energy(pair[3:])
    assert result.interaction_energy_eV == pytest.approx(expected, abs=1e-5)
    assert result.interaction_energy_kJ_mol == pytest.approx(expected * EV_TO_KJ_MOL, abs=1e-3)
    assert result.metrics.force_evaluations == 3
    assert result.guest_indices == [3, 4, 5]
    assert result.converged


def test_far_apart_there_is_no_interaction(calculator: MeteredCalculator, tmp_path: Path) -> None:
    parameters = InteractionEnergyParameters(guest_indices=[3, 4, 5], with_d3=False)
    result = interaction_energy.run(two_waters(7.4), calculator, parameters, workdir=tmp_path)
    assert result.interaction_energy_eV == pytest.approx(0, abs=1e-3)


def test_two_equal_molecules_without_indices_are_refused(
    calculator: MeteredCalculator, tmp_path: Path
) -> None:
    pair = two_waters(2.95)
    host = molecule("C6H6", cell=pair.cell, pbc=True)
    host.translate([7, 2, 6])
    with pytest.raises(InvalidFileError, match="found 2"):
        interaction_energy.run(host + pair, calculator, InteractionEnergyParameters(), workdir=tmp_path)


def test_a_freely_relaxed_host_counts_as_it_stands_beside_the_guest(
    sevennet: Potential, tmp_path: Path
) -> None:
    # A framework far from its own minimum: its relaxation must not pass for interaction.
    cage = bulk("MgO", "rocksalt", a=4.25, cubic=True).repeat((1, 1, 2))
    cage.positions[:, 2] += 0.25
    cage.set_cell([4.25, 4.25, 20.0])
    parameters = InteractionEnergyParameters(
        mode="search", guest_molecule="H2", n_poses=3, relax="free", max_steps=6, seed=2
    )
    result = interaction_energy.run(cage, MeteredCalculator(sevennet), parameters, workdir=tmp_path)
    pose = ase.io.read(tmp_path / "pose.extxyz")
    assert not np.allclose(pose.positions[:16], cage.positions, atol=1e-3)

    def energy(atoms: Atoms) -> float:
        atoms.calc = MeteredCalculator(sevennet)
        return float(atoms.get_potential_energy())

    assert result.poses[0].relaxed
    assert result.energy_host_eV == pytest.approx(energy(pose[:16]), abs=1e-3)
    assert result.energy_guest_eV == pytest.approx(energy(pose[16:]), abs=1e-3)
    assert abs(result.interaction_energy_eV) < 0.3


def test_the_published_protocol_has_no_search() -> None:
    with pytest.raises(ValueError, match="no search"):
        InteractionEnergyParameters(mode="search", protocol="mofsimbench")


def test_a_search_finds_the_open_metal_site_of_mg_mof_74(
    data: Path, calculator: MeteredCalculator, tmp_path: Path
) -> None:
    framework = ase.io.read(data / "structures" / "MgMOF74.cif")
    parameters = InteractionEnergyParameters(mode="search", n_poses=12, seed=1, n_relax=2, max_steps=40)
    result = interaction_energy.run(framework, calculator, parameters, workdir=tmp_path)
    assert len(result.poses) == 12
    energies = [pose.interaction_energy_eV for pose in result.poses]
    assert energies == sorted(energies)
    assert result.interaction_energy_eV == energies[0] < -0.3
    assert result.poses[0].relaxed
    pose = ase.io.read(tmp_path / "pose.extxyz")
    assert np.allclose(pose.positions[result.guest_indices], result.guest_positions_A, atol=1e-6)
    assert np.allclose(pose.positions[: len(framework)], framework.positions, atol=1e-6)
    assert all((tmp_path / file.path).stat().st_size > 0 for file in result.output_files)
