"""Reading weight files must never run what is hidden in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mof_benchmark.calculators.safe_load import load_weights, sha256_of_file
from mof_benchmark.calculators.sevennet import build_model
from mof_benchmark.errors import ModelLoadError, UnsafeModelFileError


class Payload:
    """What an attacker would put into a checkpoint: code that runs while it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


def test_a_checkpoint_with_a_hidden_command_is_refused_and_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "evil.pth"
    torch.save({"model_state_dict": {}, "config": Payload(marker)}, path)
    with pytest.raises(UnsafeModelFileError, match="system") as caught:
        load_weights(path)
    assert caught.value.code == 40009
    assert not marker.exists()


def test_the_refusal_holds_after_mace_switched_torch_to_unsafe_loading(tmp_path: Path) -> None:
    marker, path = tmp_path / "was-here", tmp_path / "evil.pth"
    torch.save({"config": Payload(marker)}, path)
    program = (
        "from pathlib import Path; from mof_benchmark.calculators.safe_load import load_weights\n"
        "from mof_benchmark.errors import UnsafeModelFileError\n"
        f"try: load_weights(Path({str(path)!r}))\n"
        "except UnsafeModelFileError: print('refused')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "refused"
    assert not marker.exists()


def test_tensors_arrays_and_plain_containers_are_read(tmp_path: Path) -> None:
    path = tmp_path / "good.pth"
    torch.save({"weight": torch.ones(2), "shift": np.arange(3, dtype=np.float32), "cutoff": 5.0}, path)
    loaded = load_weights(path)
    assert loaded["cutoff"] == 5.0
    np.testing.assert_array_equal(loaded["shift"], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_a_file_that_is_no_checkpoint_says_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError):
        load_weights(path)


def test_a_checkpoint_of_something_else_is_not_taken_for_sevennet(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ModelLoadError, match="not a SevenNet checkpoint"):
        build_model(load_weights(path), path.name)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256_of_file(path).startswith("ba7816bf8f01cfea")
