"""ORB: the weights are read safely, and the network is the package's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.errors import ModelLoadError, OutOfMemoryError, UnsafeModelFileError

from .conftest import SMALL_ORB, card_of
from .test_safe_load import Payload


def test_the_adapter_equals_the_package_s_own_calculator(
    orb_file: Path, orb_card: ModelCard, magnesia: Atoms
) -> None:
    from orb_models.forcefield.calculator import ORBCalculator

    potential = load_card(orb_card, models_dir=orb_file.parent)
    own = potential.make_calculator()
    own.calculate(magnesia)
    plain = ORBCalculator(own._passes._model, device="cpu")
    plain.calculate(magnesia)
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(own.results[name], np.squeeze(plain.results[name]), rtol=1e-5, atol=1e-5)


def test_evaluating_leaves_the_process_wide_precision_alone(orb_double: Potential, magnesia: Atoms) -> None:
    before = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    orb_double.make_calculator().calculate(magnesia)
    assert (torch.get_default_dtype(), torch.get_float32_matmul_precision()) == before


def test_a_charge_among_the_atoms_information_does_not_matter(orb_double: Potential, magnesia: Atoms) -> None:
    calculator = orb_double.make_calculator()
    calculator.calculate(magnesia)
    before = calculator.results["energy"]
    magnesia.info["charge"] = "unknown"
    calculator.calculate(magnesia)
    assert calculator.results["energy"] == before


def test_a_direct_model_predicts_forces_and_stress(tmp_path: Path, magnesia: Atoms) -> None:
    from orb_models.forcefield.atomic_system import SystemConfig
    from orb_models.forcefield.pretrained import orb_v3_direct_architecture

    config = SystemConfig(radius=6.0, max_num_neighbors=20)
    network = orb_v3_direct_architecture(device="cpu", system_config=config, **SMALL_ORB)
    torch.save(network.state_dict(), tmp_path / "direct.ckpt")
    card = card_of("orb", "direct.ckpt", architecture="orb-v3-direct-20-omat", sizes=SMALL_ORB)
    calculator = load_card(card, models_dir=tmp_path).make_calculator()
    calculator.calculate(magnesia)
    assert calculator.results["forces"].shape == (2, 3)
    assert calculator.results["stress"].shape == (6,)


def test_a_hidden_command_is_refused_and_does_not_run(orb_card: ModelCard, tmp_path: Path) -> None:
    marker = tmp_path / "was-here"
    torch.save({"weights": Payload(marker)}, tmp_path / orb_card.settings["file"])
    with pytest.raises(UnsafeModelFileError, match="system"):
        load_card(orb_card, models_dir=tmp_path)
    assert not marker.exists()


def test_weights_of_another_size_are_refused(orb_file: Path, orb_card: ModelCard) -> None:
    wider = replace(orb_card, settings={**orb_card.settings, "sizes": {**SMALL_ORB, "latent_dim": 24}})
    with pytest.raises(ModelLoadError, match="do not fit"):
        load_card(wider, models_dir=orb_file.parent)


def test_a_structure_that_cannot_fit_is_refused_before_it_kills_the_host(
    orb_double: Potential, magnesia: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    calculator = orb_double.make_calculator()
    monkeypatch.setattr(calculator._passes, "_bytes_per_edge", 1e12)
    with pytest.raises(OutOfMemoryError, match="edges"):
        calculator.calculate(magnesia)


def test_an_architecture_that_does_not_exist_is_named(orb_file: Path, orb_card: ModelCard) -> None:
    unknown = replace(orb_card, settings={**orb_card.settings, "architecture": "orb-v9"})
    with pytest.raises(ModelLoadError, match="orb-v9"):
        load_card(unknown, models_dir=orb_file.parent)
