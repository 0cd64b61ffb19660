"""Independent stages over the task's own GPU and borrowed ones."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import chain

import pytest

from mof_benchmark.errors import CalculationFailedError, StoppedError
from tasks.failures import HostLostError
from tasks.fan_out import spread


class Gpus:
    """Records which GPU ran what; one stage takes one turn of the event loop."""

    def __init__(self) -> None:
        self.done: dict[int, list[int]] = defaultdict(list)
        self.idle = True

    async def run(self, gpu_id: int, number: int) -> str:
        await asyncio.sleep(0.001)
        self.done[gpu_id].append(number)
        return f"result {number}"

    async def is_idle(self, gpu_id: int) -> bool:
        return self.idle


def over(gpus: Gpus, run: Callable[[int, int], Awaitable[str]] | None = None, count: int = 12) -> list[str]:
    return asyncio.run(spread(count, 0, [1, 2], run or gpus.run, gpus.is_idle))


def test_every_stage_runs_once_and_results_come_in_order() -> None:
    gpus = Gpus()
    assert over(gpus) == [f"result {number}" for number in range(12)]
    assert sorted(chain.from_iterable(gpus.done.values())) == list(range(12))
    assert gpus.done.keys() == {0, 1, 2}


def test_a_gpu_that_somebody_wants_is_left_after_its_stage() -> None:
    gpus = Gpus()

    async def run(gpu_id: int, number: int) -> str:
        gpus.idle = False
        return await gpus.run(gpu_id, number)

    over(gpus, run)
    assert len(gpus.done[1]) <= 1
    assert len(gpus.done[2]) <= 1
    assert len(gpus.done[0]) >= 10


def test_what_fails_on_a_borrowed_gpu_is_done_again_on_the_own_one() -> None:
    gpus = Gpus()

    async def run(gpu_id: int, number: int) -> str:
        if gpu_id == 1:
            await asyncio.sleep(0.05)
            raise HostLostError
        return await gpus.run(gpu_id, number)

    assert len(over(gpus, run)) == 12
    assert 1 not in gpus.done


@pytest.mark.parametrize(
    "error", [CalculationFailedError("no"), StoppedError()], ids=lambda e: type(e).__name__
)
def test_a_failure_on_the_own_gpu_ends_it_all(error: Exception) -> None:
    gpus = Gpus()

    async def run(gpu_id: int, number: int) -> str:
        if gpu_id == 0:
            raise error
        return await gpus.run(gpu_id, number)

    with pytest.raises(type(error)):
        over(gpus, run)
    assert sum(len(numbers) for numbers in gpus.done.values()) < 12


def test_a_cancelled_task_cancels_what_runs_everywhere() -> None:
    ended: list[int] = []

    async def run(gpu_id: int, number: int) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(gpu_id)
        return ""

    async def cancel() -> None:
        running = asyncio.create_task(spread(6, 0, [1, 2], run, Gpus().is_idle))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(cancel())
    assert sorted(ended) == [0, 1, 2]
