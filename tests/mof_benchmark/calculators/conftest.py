"""Small models of other families, made here with their own packages: random, but real networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mof_benchmark.calculators.contract import Framework, ModelCard, Potential
from mof_benchmark.calculators.loading import load_card, load_potential
from mof_benchmark.calculators.safe_load import allow_e3nn_constants

LoadCard = Callable[..., Potential]


def card_of(framework: Framework, file: str, **settings: Any) -> ModelCard:
    return ModelCard(
        name=f"small_{framework}",
        display_name=f"Small random {framework}",
        framework=framework,
        with_d3=True,
        settings={"file": file, **settings},
    )


def random_mace(**changes: Any) -> Any:
    """A ScaleShiftMACE of 0.5 MB in double precision that knows H, C, O, Mg and Cu."""
    allow_e3nn_constants()
    from e3nn import o3
    from mace import modules

    settings: dict[str, Any] = {
        "r_max": 4.0,
        "num_bessel": 6,
        "num_polynomial_cutoff": 5,
        "max_ell": 2,
        "interaction_cls": modules.interaction_classes["RealAgnosticDensityResidualInteractionBlock"],
        "interaction_cls_first": modules.interaction_classes["RealAgnosticDensityInteractionBlock"],
        "num_interactions": 2,
        "num_elements": 5,
        "hidden_irreps": o3.Irreps("8x0e + 8x1o"),
        "MLP_irreps": o3.Irreps("8x0e"),
        "gate": torch.nn.functional.silu,
        "atomic_energies": np.array([[-1.0, -2.0, -3.0, -4.0, -5.0]]),
        "avg_num_neighbors": 20.0,
        "atomic_numbers": [1, 6, 8, 12, 29],
        "correlation": 2,
        "radial_type": "bessel",
        "distance_transform": "Agnesi",
        "atomic_inter_scale": [0.1],
        "atomic_inter_shift": [0.2],
        "heads": ["default"],
    }
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return modules.ScaleShiftMACE(**{**settings, **changes})
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def mace_network() -> Any:
    return random_mace()


@pytest.fixture(scope="session")
def mace_file(mace_network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network, saved as mace saves its own: the whole module, pickled."""
    path = tmp_path_factory.mktemp("mace") / "small.model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(mace_network, path)
    return path


@pytest.fixture(scope="session")
def mace_double(mace_file: Path) -> Potential:
    return load_card(card_of("mace", mace_file.name), dtype="float64", models_dir=mace_file.parent)


@pytest.fixture(scope="session")
def mace_gpu_double(mace_file: Path) -> Potential:
    card = card_of("mace", mace_file.name)
    return load_card(card, device="cuda", dtype="float64", models_dir=mace_file.parent)


SMALL_ORB = {
    "latent_dim": 16,
    "base_mlp_hidden_dim": 32,
    "head_mlp_hidden_dim": 16,
    "num_message_passing_steps": 2,
}


@pytest.fixture(scope="session")
def orb_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small random conservative ORB v3."""
    from orb_models.forcefield.atomic_system import SystemConfig
    from orb_models.forcefield.pretrained import orb_v3_conservative_architecture

    torch.manual_seed(2)
    config = SystemConfig(radius=6.0, max_num_neighbors=120)
    network = orb_v3_conservative_architecture(device="cpu", system_config=config, **SMALL_ORB)
    path = tmp_path_factory.mktemp("orb") / "small.ckpt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def orb_card(orb_file: Path) -> ModelCard:
    return card_of("orb", orb_file.name, architecture="orb-v3-conservative-inf-omat", sizes=SMALL_ORB)


@pytest.fixture(scope="session")
def orb_double(orb_file: Path, orb_card: ModelCard) -> Potential:
    return load_card(orb_card, dtype="float64", models_dir=orb_file.parent)


@pytest.fixture(scope="session")
def orb_gpu_double(orb_file: Path, orb_card: ModelCard) -> Potential:
    return load_card(orb_card, device="cuda", dtype="float64", models_dir=orb_file.parent)


@pytest.fixture(scope="session")
def sevennet_gpu_double() -> Potential:
    return load_potential("sevennet_prod", device="cuda", dtype="float64", models_dir=Path("absent"))
