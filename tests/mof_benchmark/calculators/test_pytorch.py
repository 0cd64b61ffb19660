"""Generic PyTorch weights behind the SchNet interface: numbers against a second implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.calculators.pytorch import SchNet
from mof_benchmark.errors import ModelLoadError
from mof_benchmark.schemas.custom_model import PyTorchConfig

CONFIG = PyTorchConfig(
    interface="schnet",
    elements=["H", "C", "O", "Mg"],
    cutoff_A=4.0,
    n_atom_basis=8,
    n_filters=6,
    n_interactions=2,
    n_rbf=10,
    max_z=20,
    atomic_energies_eV={"H": -13.0, "O": -430.0, "Mg": -40.0},
)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(4)
    return SchNet(CONFIG).double().state_dict()


@pytest.fixture(scope="module")
def schnet(weights: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Potential:
    folder = tmp_path_factory.mktemp("schnet")
    # Buffers of SchNetPack that follow from the configuration may be there or not.
    torch.save({**weights, "representation.radial_basis.offsets": torch.zeros(10)}, folder / "small.pt")
    card = ModelCard(
        name="schnet",
        display_name="Small random SchNet",
        framework="pytorch",
        with_d3=False,
        settings={"file": "small.pt", "interface": CONFIG.model_dump()},
    )
    return load_card(card, dtype="float64", models_dir=folder)


def by_hand(atoms: Atoms, weights: dict[str, torch.Tensor]) -> float:
    """SchNet's equations atom by atom, for a molecule."""
    w = {name: value.numpy() for name, value in weights.items()}
    centres = np.linspace(0.0, CONFIG.cutoff_A, CONFIG.n_rbf)

    def softplus(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.log1p(np.exp(values)) - np.log(2.0))

    def dense(name: str, values: np.ndarray) -> np.ndarray:
        return np.asarray(w[f"{name}.weight"] @ values + w.get(f"{name}.bias", 0.0))

    features = [w["representation.embedding.weight"][number] for number in atoms.numbers]
    for block in range(CONFIG.n_interactions):
        name = f"representation.interactions.{block}"
        changes = []
        for i in range(len(atoms)):
            heard = np.zeros(CONFIG.n_filters or 0)
            for j in range(len(atoms)):
                distance = atoms.get_distance(i, j)
                if i == j or distance >= CONFIG.cutoff_A:
                    continue
                gaussians = np.exp(-0.5 * ((distance - centres) / (centres[1] - centres[0])) ** 2)
                filters = dense(
                    f"{name}.filter_network.1", softplus(dense(f"{name}.filter_network.0", gaussians))
                )
                damping = 0.5 * (np.cos(np.pi * distance / CONFIG.cutoff_A) + 1.0)
                heard += dense(f"{name}.in2f", features[j]) * filters * damping
            changes.append(dense(f"{name}.f2out.1", softplus(dense(f"{name}.f2out.0", heard))))
        features = [own + change for own, change in zip(features, changes, strict=True)]
    energy = 0.0
    for symbol, vector in zip(atoms.get_chemical_symbols(), features, strict=True):
        hidden = dense("output_modules.0.outnet.0", vector)
        energy += dense("output_modules.0.outnet.1", hidden / (1.0 + np.exp(-hidden))).item()
        energy += CONFIG.atomic_energies_eV[symbol]
    return energy


def test_the_energy_is_that_of_the_equations(schnet: Potential, weights: dict[str, torch.Tensor]) -> None:
    water = molecule("H2O")
    calculator = schnet.make_calculator()
    calculator.calculate(water)
    assert calculator.results["energy"] == pytest.approx(by_hand(water, weights), abs=1e-10)
    assert "stress" not in calculator.results


def test_forces_and_stress_are_slopes_of_the_energy(schnet: Potential, magnesia: Atoms) -> None:
    magnesia.calc = schnet.make_calculator()
    forces, stress = magnesia.get_forces(), magnesia.get_stress()
    np.testing.assert_allclose(forces, calculate_numerical_forces(magnesia, eps=1e-4), atol=1e-7)
    np.testing.assert_allclose(stress, calculate_numerical_stress(magnesia, eps=1e-5), atol=1e-8)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pt")
    card = ModelCard(
        name="other",
        display_name="other",
        framework="pytorch",
        with_d3=False,
        settings={"file": "other.pt", "interface": CONFIG.model_dump()},
    )
    with pytest.raises(ModelLoadError, match="do not fit"):
        load_card(card, models_dir=tmp_path)
