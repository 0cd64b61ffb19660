"""The registry: every model of the benchmark, and whether it is ready here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mof_benchmark.calculators import registry
from mof_benchmark.calculators.loading import load_potential
from mof_benchmark.calculators.remote import install
from mof_benchmark.errors import ModelNotFoundError, ModelWeightsMissingError

BENCHMARK = {
    "grace_prod": True,
    "grace_prod_oam": True,
    "grace_prod_omat": True,
    "mace_prod": True,
    "mace_prod_0a": True,
    "mace_prod_b3": True,
    "mace_prod_matpes": True,
    "mace_prod_mof": False,
    "mace_prod_omat": True,
    "mattersim_prod": True,
    "omat24_prod": True,
    "omat24_prod_esen": True,
    "omat24_prod_esen_mp": True,
    "omat24_prod_mp": True,
    "orb3": False,
    "orb_prod": False,
    "orb_prod_mp": True,
    "orb_prod_v3": True,
    "orb_prod_v3_mp": True,
    "sevennet_prod": True,
    "sevennet_prod_l3i5": True,
    "sevennet_prod_nod3": False,
    "sevennet_prod_ompa": True,
    "sevennet_prod_ompa_omat": True,
}
"""Model: whether the benchmark adds D3 to it."""


def test_every_model_of_the_benchmark_is_declared_with_its_dispersion() -> None:
    declared = {card.name: card.with_d3 for card in registry.cards()}
    assert BENCHMARK.items() <= declared.items()
    assert {card.framework for card in registry.cards()} == set(registry.FAMILIES)


def test_no_name_is_declared_twice() -> None:
    names = [card.name for card in registry.cards()]
    assert len(names) == len(set(names))


def test_an_unknown_model_is_not_found_and_the_nearest_names_are_told() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        registry.card("sevennet_pord")
    assert (caught.value.code, caught.value.status) == (30001, 404)
    assert "did you mean sevennet_prod" in caught.value.detail


def test_the_models_of_the_sevenn_wheel_are_available_with_no_network(tmp_path: Path) -> None:
    for name in ("sevennet_prod", "sevennet_prod_l3i5"):
        assert registry.availability(registry.card(name), tmp_path).available


def test_a_model_without_weights_says_what_to_do(tmp_path: Path) -> None:
    card = registry.card("mace_prod")
    missing = registry.availability(card, tmp_path)
    assert not missing.available
    assert "mace-mpa-0-medium.model" in missing.reason
    assert card.settings["url"] in missing.what_to_do

    (tmp_path / "mace-mpa-0-medium.model").write_bytes(b"")
    assert registry.availability(card, tmp_path).available


def test_a_model_that_needs_a_newer_package_says_how_to_install_it(tmp_path: Path) -> None:
    card = registry.card("sevennet_prod_ompa")
    (tmp_path / card.settings["file"]).write_bytes(b"")
    missing = registry.availability(card, tmp_path)
    assert not missing.available
    assert "models install sevennet" in missing.what_to_do

    python = registry.environment_python(card, tmp_path)
    assert python is not None
    python.parent.mkdir(parents=True)
    python.touch()
    assert registry.availability(card, tmp_path).available


@pytest.mark.parametrize(
    "name", ["omat24_prod", "grace_prod", "mattersim_prod", "matgl_prod", "posegnn_prod"]
)
def test_a_family_that_lives_apart_names_its_environment_and_its_weights(name: str, tmp_path: Path) -> None:
    card = registry.card(name)
    missing = registry.availability(card, tmp_path)
    assert card.settings["file"] in missing.reason
    assert f"./mofsim models install {card.framework}" in missing.what_to_do
    assert card.weights in missing.what_to_do
    with pytest.raises(ModelWeightsMissingError):
        load_potential(name, models_dir=tmp_path)

    (tmp_path / card.settings["file"]).write_bytes(b"")
    assert "weights" not in registry.availability(card, tmp_path).reason
    python = registry.environment_python(card, tmp_path)
    assert python is not None
    python.parent.mkdir(parents=True)
    python.touch()
    assert registry.availability(card, tmp_path).available


def test_every_family_that_lives_apart_can_be_installed_and_has_its_adapter() -> None:
    families = Path(install.__file__).with_name("families")
    apart = {name for name, family in registry.FAMILIES.items() if family.lives_apart}
    assert apart <= set(install.PACKAGES)
    assert {file.stem for file in families.glob("[a-z]*.py")} == set(install.PACKAGES)


def test_loading_a_model_without_weights_raises_the_missing_weights_error(tmp_path: Path) -> None:
    with pytest.raises(ModelWeightsMissingError) as caught:
        load_potential("orb_prod", models_dir=tmp_path)
    assert caught.value.code == 30017
    assert "orb-d3-v2-20241011.ckpt" in caught.value.detail


def test_asking_for_availability_imports_no_model_package(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mof_benchmark.calculators import registry\n"
        f"states = [registry.availability(card, Path({str(tmp_path)!r})) for card in registry.cards()]\n"
        "assert len(states) > 20\n"
        "heavy = {'torch', 'sevenn', 'mace', 'orb_models', 'e3nn', 'matgl'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).resolve().parents[3])
