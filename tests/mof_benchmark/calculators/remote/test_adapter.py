"""A model in a process of another environment: the same numbers, the same names of failures."""

from __future__ import annotations

import gc
import os
import signal
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mof_benchmark.calculators.contract import ModelCard, Potential
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.calculators.metering import MeteredCalculator
from mof_benchmark.calculators.registry import environment_python
from mof_benchmark.calculators.remote import adapter
from mof_benchmark.errors import (
    CalculationFailedError,
    ModelLoadError,
    UnsafeModelFileError,
    UnsupportedElementError,
)
from mofsim_settings import load_settings
from tests.mof_benchmark.calculators.test_safe_load import Payload

CARD = ModelCard(
    name="sevennet_newer",
    display_name="SevenNet-0 as a newer sevenn reads it",
    framework="sevennet",
    with_d3=True,
    settings={"checkpoint": "7net-0", "minimum_version": "0.11"},
)


def interpreter(models_dir: Path) -> Path:
    python = environment_python(CARD, models_dir)
    assert python is not None
    return python


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder whose environment is the tests' own Python: a real process, no download."""
    folder = tmp_path_factory.mktemp("models")
    python = interpreter(folder)
    python.parent.mkdir(parents=True)
    # Not a link: Python finds the packages of a virtual environment by the path it is called by.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture(scope="session")
def remote(models_dir: Path) -> Potential:
    return load_card(CARD, models_dir=models_dir)


def pid_of(potential: Potential) -> int:
    calculator = potential.make_calculator()
    assert isinstance(calculator, adapter.RemoteCalculator)
    return calculator._model.pid


def test_it_gives_the_numbers_of_the_model_in_this_process(
    remote: Potential, sevennet: Potential, magnesia: Atoms
) -> None:
    there, here = MeteredCalculator(remote), MeteredCalculator(sevennet)
    there.get_property("energy", magnesia)
    here.get_property("energy", magnesia)
    assert pid_of(remote) != os.getpid()
    assert there.results["energy"] == pytest.approx(here.results["energy"], abs=5e-6 * len(magnesia))
    np.testing.assert_allclose(there.results["forces"], here.results["forces"], atol=2e-5)
    np.testing.assert_allclose(there.results["stress"], here.results["stress"], atol=5e-6)


def test_it_says_what_it_is(remote: Potential, sevennet: Potential) -> None:
    assert remote.elements == sevennet.elements
    assert remote.checkpoint_sha256 == sevennet.checkpoint_sha256
    assert {"sevenn", "e3nn", "torch"} <= remote.package_versions.keys()


def test_a_molecule_without_a_cell_has_forces_and_no_stress(remote: Potential) -> None:
    calculator = remote.make_calculator()
    calculator.calculate(molecule("H2O"))
    assert calculator.results["forces"].shape == (3, 3)
    assert "stress" not in calculator.results


def test_a_large_structure_crosses_over_and_the_time_the_model_took_comes_back(remote: Potential) -> None:
    # Far apart, so that the model is quick; what it costs in all is measured by `bench remote`.
    places = np.mgrid[0:8, 0:8, 0:8].reshape(3, -1).T * 8.0
    calculator = remote.make_calculator()
    assert isinstance(calculator, adapter.RemoteCalculator)
    begun = time.perf_counter()
    calculator.calculate(Atoms("He512", positions=places, cell=[64.0] * 3, pbc=True))
    assert np.asarray(calculator.results["forces"]).shape == (512, 3)
    assert 0 < calculator.model_seconds < time.perf_counter() - begun


def test_an_unknown_element_is_named_before_the_process_is_asked(remote: Potential) -> None:
    with pytest.raises(UnsupportedElementError, match="Po"):
        MeteredCalculator(remote).get_property("energy", Atoms("Po"))


def test_a_killed_process_ends_the_question_with_an_error(models_dir: Path) -> None:
    model = adapter.RemoteModel(interpreter(models_dir))
    os.kill(model.pid, signal.SIGKILL)
    with pytest.raises(CalculationFailedError, match="ended"):
        model.ask({"family": "sevennet"})


def test_the_process_leaves_when_nobody_holds_the_model(models_dir: Path) -> None:
    model = adapter.RemoteModel(interpreter(models_dir))
    process = psutil.Process(model.pid)
    assert process.is_running()
    del model
    gc.collect()
    assert not process.is_running()


def test_a_failure_to_load_is_told_in_the_package_s_words(models_dir: Path) -> None:
    torch.save({"weights": torch.ones(2)}, models_dir / "other.pth")
    card = replace(CARD, settings={"file": "other.pth", "minimum_version": "0.11"})
    with pytest.raises(ModelLoadError, match=r"could not be loaded: \w+Error"):
        load_card(card, models_dir=models_dir)


def test_an_environment_that_is_broken_is_told_in_its_last_words(tmp_path: Path) -> None:
    python = interpreter(tmp_path)
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(ModelLoadError, match="no such library"):
        load_card(CARD, models_dir=tmp_path)


def test_a_file_with_a_hidden_command_never_reaches_the_other_environment(models_dir: Path) -> None:
    marker = models_dir / "was-here"
    torch.save({"model_state_dict": Payload(marker)}, models_dir / "evil.pth")
    card = replace(CARD, settings={"file": "evil.pth", "minimum_version": "0.11"})
    with pytest.raises(UnsafeModelFileError):
        load_card(card, models_dir=models_dir)
    assert not marker.exists()


def test_the_installed_environment_agrees_with_ours(sevennet: Potential, magnesia: Atoms) -> None:
    folder = load_settings().models_dir
    if not interpreter(folder).exists():
        pytest.skip("needs `./mofsim models install sevennet`")
    newer = load_card(CARD, models_dir=folder)
    assert newer.package_versions["sevenn"] != sevennet.package_versions["sevenn"]
    there, here = newer.make_calculator(), sevennet.make_calculator()
    there.calculate(magnesia)
    here.calculate(magnesia)
    assert there.results["energy"] == pytest.approx(here.results["energy"], abs=5e-6 * len(magnesia))
    np.testing.assert_allclose(there.results["forces"], here.results["forces"], atol=2e-5)
