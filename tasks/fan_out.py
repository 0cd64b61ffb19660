"""Independent stages of one task over several GPUs: its own, and those that nobody uses."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from mof_benchmark.errors import MofsimError, StoppedError
from tasks.dask_runner import ANSWER_SECONDS, stage_client
from tasks.failures import HostLostError

R = TypeVar("R")


async def spread(
    count: int,
    own: int,
    others: Iterable[int],
    run: Callable[[int, int], Awaitable[R]],
    is_idle: Callable[[int], Awaitable[bool]],
) -> list[R]:
    """Run stages 0 to `count` - 1, each GPU one at a time, and return what they gave, in order.

    The task's own GPU works to the end. Another one is asked before each stage whether it is still
    idle, and left as soon as it is not: the task that is placed there waits for one stage at most.
    What fails on a borrowed GPU is done again on the task's own, whose word counts.

    Parameters
    ----------
    run
        Runs stage `number` on GPU `gpu_id`: `run(gpu_id, number)`.
    is_idle
        Whether nobody uses a GPU.
    """
    waiting, results = deque(range(count)), dict[int, R]()

    async def work(gpu_id: int) -> None:
        while waiting and (gpu_id == own or await is_idle(gpu_id)):
            if not waiting:
                return
            number = waiting.popleft()
            try:
                results[number] = await run(gpu_id, number)
            except StoppedError:
                raise
            except MofsimError:
                if gpu_id == own:
                    raise
                waiting.appendleft(number)
                return

    try:
        async with asyncio.TaskGroup() as lanes:
            for gpu_id in (own, *others):
                lanes.create_task(work(gpu_id))
    except* MofsimError as group:
        raise _first(group) from None
    # A borrowed GPU may have given its stage back when the own one had already done the rest.
    await work(own)
    return [results[number] for number in range(count)]


async def idle_gpus() -> list[int]:
    """GPUs whose hosts are there and have no stage, by what the Dask scheduler knows."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.to_thread(_idle)
    except (OSError, TimeoutError, HostLostError):
        return []


def _idle() -> list[int]:
    client = stage_client()
    busy = {address for address, keys in client.processing().items() if keys}
    workers = client.scheduler_info(n_workers=-1)["workers"]
    names = [
        name for address, worker in workers.items() if address not in busy for name in worker["resources"]
    ]
    return sorted(int(name[4:]) for name in names if re.fullmatch(r"GPU-\d+", name))


def _first(group: BaseExceptionGroup[MofsimError]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
