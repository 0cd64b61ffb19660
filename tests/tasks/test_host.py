"""What a slot's process does when its device is lost to it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mof_benchmark.calculators.context import failure_of
from tasks.failures import HostLostError
from tasks.host import COMPUTING_NICENESS, Host


def host(device: str) -> Host:
    """A host for what needs no database, no models and no Prefect."""
    absent: Any = None
    return Host(
        gpu_id=0,
        settings=absent,
        database=absent,
        models=absent,
        device=device,
        prefect=absent,
        log_files=absent,
    )


def test_a_stage_that_finds_its_device_lost_is_told_that_the_host_is() -> None:
    broken, request = host("cuda"), object()
    broken.broken = "CUDA error: unspecified launch failure"
    with (
        pytest.raises(HostLostError, match="unspecified launch failure") as caught,
        broken.computing(request, lambda: None),
    ):
        pytest.fail("the stage ran")
    assert caught.value.transient
    assert broken.current is None


@pytest.mark.skipif(sys.platform != "linux", reason="needs threads with a priority of their own")
def test_only_the_thread_that_computes_steps_back() -> None:
    slot, request = host("cpu"), object()

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def compute() -> int:
        with slot.computing(request, lambda: None):
            return niceness()

    before = niceness()
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(compute).result() == COMPUTING_NICENESS
    assert niceness() == before


def test_a_cpu_is_never_lost() -> None:
    slot = host("cpu")
    slot.examine()
    assert slot.broken is None


@pytest.mark.gpu
def test_a_lost_context_is_known_from_a_failure_that_passes() -> None:
    assert failure_of("cuda") is None
    # In a process of its own, which it spoils.
    program = """
        import torch
        from mof_benchmark.calculators.context import failure_of
        try:
            torch.zeros(2, device="cuda")[torch.tensor([5], device="cuda")].cpu()
        except RuntimeError:
            pass
        print(failure_of("cuda"))
    """
    run = [sys.executable, "-c", textwrap.dedent(program)]
    found = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "CUDA error" in found
