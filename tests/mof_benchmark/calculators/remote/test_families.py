"""Families in environments of their own, on small random networks that they make themselves.

What is not installed is skipped: `./mofsim models install FAMILY` makes an environment in the
models folder of the settings.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from scipy.spatial.transform import Rotation

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.calculators.registry import environment_python
from mofsim_settings import load_settings
from tests.mof_benchmark.calculators.conftest import card_of

Evaluate = Callable[[Atoms], dict[str, np.ndarray]]

MAKE = {
    "mattersim": """
import sys, torch
from mattersim.forcefield.m3gnet.m3gnet import M3Gnet
torch.manual_seed(3)
network = M3Gnet(num_blocks=1, units=16, max_l=2, max_n=2, device="cpu", max_z=30)
weights = {"model_name": "m3gnet", "model_args": network.model_args, "model": network.state_dict()}
torch.save(weights, sys.argv[1])
""",
    "matgl": """
import sys, torch
from matgl.apps.pes import Potential
from matgl.models import TensorNet
torch.manual_seed(3)
sizes = {"units": 16, "nblocks": 1, "num_rbf": 8}
elements = ("H", "C", "O", "Mg")
network = TensorNet(element_types=elements, is_intensive=False, use_warp=False, **sizes)
Potential(model=network, calc_stresses=True).save(sys.argv[1])
""",
}


@pytest.fixture(scope="module", params=MAKE)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Potential:
    """A random network of a family that is installed here."""
    family = request.param
    card = card_of(family, f"small-{family}")
    models_dir = load_settings().models_dir
    python = environment_python(card, models_dir)
    assert python is not None
    if not python.exists():
        pytest.skip(f"needs `./mofsim models install {family}`")
    folder = tmp_path_factory.mktemp(family)
    (folder / "environments").symlink_to(models_dir / "environments")
    subprocess.run([python, "-I", "-c", MAKE[family], str(folder / f"small-{family}")], check=True)
    return load_card(card, models_dir=folder)


@pytest.fixture
def evaluate(installed: Potential) -> Evaluate:
    def results(atoms: Atoms) -> dict[str, np.ndarray]:
        calculator = installed.make_calculator()
        calculator.calculate(atoms)
        return dict(calculator.results)

    return results


def test_it_says_what_it_is(installed: Potential) -> None:
    assert {8, 12} <= installed.elements
    assert installed.package_versions[installed.card.framework]
    assert len(installed.checkpoint_sha256 or "") == 64


def test_forces_are_the_slope_of_the_energy(evaluate: Evaluate, magnesia: Atoms) -> None:
    # In single precision: far enough for the energy to change by more than its rounding.
    forces, step = evaluate(magnesia)["forces"], 1e-2
    for atom, axis in ((0, 0), (1, 1)):
        energies = []
        for sign in (+1, -1):
            moved = magnesia.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(float(evaluate(moved)["energy"]))
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=5e-3)


def test_stress_is_the_slope_of_the_energy_over_strain(evaluate: Evaluate, magnesia: Atoms) -> None:
    stress, step = evaluate(magnesia)["stress"], 2e-3
    slopes = np.zeros((3, 3))
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        energies = []
        for sign in (+1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step / 2
            strain[column, row] += sign * step / 2
            strained = magnesia.copy()
            strained.set_cell(magnesia.cell[:] @ strain, scale_atoms=True)
            energies.append(float(evaluate(strained)["energy"]))
        slopes[row, column] = slopes[column, row] = (energies[0] - energies[1]) / (2 * step)
    expected = full_3x3_to_voigt_6_stress(slopes) / magnesia.cell.volume
    np.testing.assert_allclose(stress, expected, atol=1e-3)


def test_moving_and_turning_changes_nothing_but_directions(evaluate: Evaluate, magnesia: Atoms) -> None:
    before = evaluate(magnesia)
    turn = Rotation.from_euler("xyz", [20, 50, -70], degrees=True).as_matrix()
    turned = magnesia.copy()
    turned.positions += [0.3, -1.1, 7.0]
    turned.set_cell(turned.cell[:] @ turn.T, scale_atoms=True)
    after = evaluate(turned)
    assert after["energy"] == pytest.approx(before["energy"], abs=1e-3)
    np.testing.assert_allclose(after["forces"], before["forces"] @ turn.T, atol=1e-3)


def test_a_supercell_costs_a_multiple_of_the_energy(evaluate: Evaluate, magnesia: Atoms) -> None:
    single, repeated = evaluate(magnesia), evaluate(magnesia.repeat((2, 1, 1)))
    assert repeated["energy"] == pytest.approx(2 * single["energy"], abs=2e-3)


def test_evaluating_does_not_change_the_atoms(evaluate: Evaluate, magnesia: Atoms) -> None:
    untouched = magnesia.copy()
    evaluate(magnesia)
    assert magnesia == untouched
