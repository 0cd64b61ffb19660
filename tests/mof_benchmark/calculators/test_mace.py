"""MACE files: nothing in them runs, and what is rebuilt is the model that was saved."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from mof_benchmark.calculators.contract import Potential
from mof_benchmark.calculators.loading import load_card
from mof_benchmark.calculators.mace_checkpoint import read_mace_file
from mof_benchmark.errors import ModelLoadError, OutOfMemoryError, UnsafeModelFileError

from .conftest import card_of
from .test_safe_load import Payload


class GraphTrick:
    """`torch.fx` executes the source code that such an object brings along."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        from torch.fx._symbolic_trace import Tracer
        from torch.fx.graph_module import reduce_graph_module

        source = f"import os; os.system('touch {self.marker}')\ndef forward(self, x):\n    return x\n"
        body = {
            **torch.nn.Module().__dict__,
            "_code": source,
            "_graphmodule_cls_name": "GraphModule",
            "_tracer_cls": Tracer,
        }
        return reduce_graph_module, (body, "")


def test_the_rebuilt_model_equals_the_package_s_own_calculator(
    mace_network: Any, mace_double: Potential, magnesia: Atoms
) -> None:
    from mace.calculators import MACECalculator

    own, plain = mace_double.make_calculator(), MACECalculator(models=[mace_network], default_dtype="float64")
    own.calculate(magnesia)
    plain.calculate(magnesia)
    for name in ("energy", "energies", "forces", "stress"):
        np.testing.assert_allclose(own.results[name], plain.results[name], rtol=1e-12, atol=1e-12)
    assert mace_double.elements == {1, 6, 8, 12, 29}


def test_single_precision_stays_close_to_double(
    mace_file: Path, mace_double: Potential, magnesia: Atoms
) -> None:
    single = load_card(card_of("mace", mace_file.name), models_dir=mace_file.parent)
    assert single.dtype == "float32"
    results = []
    for potential in (single, mace_double):
        calculator = potential.make_calculator()
        calculator.calculate(magnesia)
        results.append(calculator.results)
    np.testing.assert_allclose(results[0]["energy"], results[1]["energy"], atol=1e-5)
    np.testing.assert_allclose(results[0]["forces"], results[1]["forces"], atol=1e-4)


def test_source_code_in_a_graph_module_is_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "evil.model"
    torch.save(GraphTrick(marker), path)
    with pytest.raises(ModelLoadError, match="not a ScaleShiftMACE"):
        read_mace_file(path)
    assert not marker.exists()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)
    assert marker.exists(), "the trick itself does not work, so this test shows nothing"


def test_a_graph_module_inside_a_good_model_is_passed_over(
    mace_network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "evil.model"
    monkeypatch.setattr(mace_network, "trick", GraphTrick(marker), raising=False)
    torch.save(mace_network, path)
    assert read_mace_file(path).atomic_numbers == [1, 6, 8, 12, 29]
    assert not marker.exists()


@pytest.mark.parametrize("command", [os.system, eval, torch.load, torch.hub.load], ids=lambda f: f.__name__)
def test_a_hidden_command_is_refused_and_does_not_run(command: Any, tmp_path: Path) -> None:
    class Hidden(Payload):
        def __reduce__(self) -> tuple[object, ...]:
            return command, (f"touch {self.marker}",)

    marker, path = tmp_path / "was-here", tmp_path / "evil.model"
    torch.save({"config": Hidden(marker)}, path)
    with pytest.raises(UnsafeModelFileError, match=command.__name__) as caught:
        read_mace_file(path)
    assert caught.value.code == 40009
    assert not marker.exists()


def test_compiled_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "compiled.model"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(UnsafeModelFileError, match="TorchScript"):
        read_mace_file(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04broken"])
def test_a_file_that_is_no_model_says_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.model"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"broken\.model"):
        read_mace_file(path)


def test_a_model_of_another_kind_is_not_taken_for_mace(tmp_path: Path) -> None:
    path = tmp_path / "other.model"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ModelLoadError, match="Linear"):
        read_mace_file(path)


def test_weights_that_do_not_fit_are_refused(mace_file: Path) -> None:
    from mof_benchmark.calculators.mace_checkpoint import build_mace

    checkpoint = read_mace_file(mace_file)
    del checkpoint.state["node_embedding.linear.weight"]
    with pytest.raises(ModelLoadError, match="node_embedding"):
        build_mace(checkpoint, torch.float64)


def test_a_head_that_the_model_has_not_is_named(mace_file: Path) -> None:
    card = card_of("mace", mace_file.name, head="r2scan")
    with pytest.raises(ModelLoadError, match="heads default"):
        load_card(card, models_dir=mace_file.parent)


def test_a_structure_that_cannot_fit_is_refused_before_it_kills_the_host(
    mace_double: Potential, magnesia: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    calculator: Any = mace_double.make_calculator()
    monkeypatch.setattr(calculator._passes, "_bytes_per_edge", 1e12)
    with pytest.raises(OutOfMemoryError, match="edges"):
        calculator.calculate(magnesia)
