"""Looking at a model file: what is good passes, what is not is refused, and nothing ever runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from mof_benchmark.calculators import registry
from mof_benchmark.calculators.custom.scan import CustomFramework, require_suffix, scan
from mof_benchmark.errors import InvalidFileError, UnsafeModelFileError, UnsupportedFormatError

from .hostile import BROKEN, UNSAFE, Calls, good, with_source

FRAMEWORKS = get_args(CustomFramework)


def test_a_mace_model_passes(mace_file: Path) -> None:
    found = scan(mace_file, "mace")
    assert "mace.modules.models.ScaleShiftMACE" in found.names


def test_orb_weights_pass(orb_file: Path) -> None:
    assert scan(orb_file, "orb").records > 10


@pytest.mark.parametrize("name", ["sevennet_prod", "sevennet_prod_l3i5"])
def test_published_sevennet_checkpoints_pass(name: str, tmp_path: Path) -> None:
    scan(registry.weights_path(registry.card(name), tmp_path), "sevennet")


def test_mace_modules_are_weights_of_no_other_framework(mace_file: Path) -> None:
    with pytest.raises(UnsafeModelFileError, match=r"e3nn|mace|set"):
        scan(mace_file, "sevennet")


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", UNSAFE)
def test_a_hostile_file_is_refused_and_nothing_in_it_runs(
    name: str, framework: CustomFramework, tmp_path: Path
) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "evil"
    path.write_bytes(UNSAFE[name](marker))
    with pytest.raises(UnsafeModelFileError) as caught:
        scan(path, framework)
    assert caught.value.code == 40009
    assert not marker.exists()


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_archive_of_pytorch_is_refused(name: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "broken.model"
    path.write_bytes(BROKEN[name](marker))
    with pytest.raises(InvalidFileError) as caught:
        scan(path, "mace")
    assert caught.value.code == 40005
    assert not marker.exists()


def test_a_call_hidden_among_thousands_of_tensors_is_found(tmp_path: Path) -> None:
    weights: dict[str, Any] = {f"layer.{number}": torch.zeros(2) for number in range(2000)}
    path = tmp_path / "evil.pt"
    torch.save({**weights, "layer.2000": Calls(print, "here")}, path)
    with pytest.raises(UnsafeModelFileError, match="print"):
        scan(path, "pytorch")


def test_the_source_of_an_honest_graph_module_passes(tmp_path: Path) -> None:
    path = tmp_path / "net.model"
    path.write_bytes(with_source("import torch\nfrom math import inf\ndef forward(self, x):\n    return x\n"))
    assert "torch.fx.graph_module.reduce_graph_module" in scan(path, "mace").names


@pytest.mark.parametrize(
    ("framework", "name"), [("mace", "x.pt"), ("orb", "x.model"), ("sevennet", "x.ckpt"), ("pytorch", "x")]
)
def test_a_file_named_otherwise_than_its_framework_does_is_refused(
    framework: CustomFramework, name: str
) -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        require_suffix(name, framework)
    assert caught.value.code == 40001


def test_looking_needs_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "good.pt"
    path.write_bytes(good())
    program = (
        "import sys; from pathlib import Path\n"
        "from mof_benchmark.calculators.custom.scan import scan\n"
        f"scan(Path({str(path)!r}), 'pytorch')\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).resolve().parents[4])
