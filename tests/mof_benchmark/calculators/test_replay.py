"""What is recorded for replay, and what becomes of it (the recording itself: test_passes, on a GPU)."""

from __future__ import annotations

import logging

import pytest
import torch

from mof_benchmark.calculators.replay import RECORDED_FROM, Replayed, rounded_up


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine where nothing can be recorded")
def test_what_cannot_be_recorded_runs_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    doubled = Replayed(lambda values: (2 * values,))
    with caplog.at_level(logging.WARNING):
        for number in range(2 * RECORDED_FROM):
            (found,) = doubled(torch.full((3,), float(number)))
            assert found.tolist() == [2.0 * number] * 3
    assert sum("not replayed" in record.message for record in caplog.records) == 1


def test_an_error_of_the_work_itself_is_told() -> None:
    def broken(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Replayed(broken)(torch.zeros(1))


@pytest.mark.parametrize("number", [1, 2, 15, 16, 17, 1000, 39_999])
def test_rounding_up_adds_at_most_an_eighth(number: int) -> None:
    rounded = rounded_up(number)
    assert number <= rounded <= max(number + 1, 1.125 * number)
    assert rounded_up(rounded) == rounded


class TestOnAGpu:
    pytestmark = pytest.mark.gpu

    def test_each_size_is_run_then_recorded_and_replays_give_the_same(self) -> None:
        runs = 0

        def squared(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            nonlocal runs
            runs += 1
            return values**2, values.sum()

        replayed = Replayed(squared)
        for size in (3, 5):
            runs = 0
            for number in range(RECORDED_FROM + 5):
                given = torch.full((size,), float(number), device="cuda")
                found, total = replayed(given)
                assert found.tolist() == [float(number) ** 2] * size
                assert float(total) == number * size
            # As often as it takes to know the size, then what a recording needs, then no more.
            assert runs == RECORDED_FROM - 1 + 4

    def test_forgetting_gives_the_memory_back(self) -> None:
        torch.cuda.empty_cache()
        before = torch.cuda.memory_reserved()
        replayed = Replayed(lambda values: ((values[:, None] * values[None, :]).sum(dim=1),))
        given = torch.ones(8192, device="cuda")
        for _ in range(RECORDED_FROM + 1):
            replayed(given)
        torch.cuda.empty_cache()
        assert torch.cuda.memory_reserved() > before + 200e6
        replayed.forget()
        torch.cuda.empty_cache()
        assert torch.cuda.memory_reserved() < before + 50e6
        assert replayed(given)[0][0] == 8192.0
