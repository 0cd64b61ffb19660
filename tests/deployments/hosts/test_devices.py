"""What a slot computes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deployments.hosts.plugin import choose_device
from mofsim_settings import Settings

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


def settings(home: Path, **compute: object) -> Settings:
    return Settings(home=home, compute=compute)


@without_gpu
def test_without_a_gpu_a_slot_computes_on_the_cpu(tmp_path: Path) -> None:
    assert choose_device(settings(tmp_path)) == "cpu"


@without_gpu
def test_who_insists_on_cuda_gets_no_cpu(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ask for CUDA"):
        choose_device(settings(tmp_path, device="cuda"))


@without_gpu
def test_a_slot_whose_gpu_is_gone_does_not_go_on_as_a_slow_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX Open Kernel Module\n")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(RuntimeError, match="finds none for this slot"):
        choose_device(settings(tmp_path), driver=driver)
    assert choose_device(settings(tmp_path, device="cpu"), driver=driver) == "cpu"
    assert choose_device(settings(tmp_path, simulated=True), driver=driver) == "cpu"
