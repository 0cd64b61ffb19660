"""Work on a GPU that is recorded once for each size and replayed: one launch instead of hundreds.

What is recorded must only depend on the values of its tensors, never ask for one of them, and make
tensors of sizes that follow from those it is given.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Tensors = tuple[torch.Tensor, ...]
Size = tuple[tuple[int, ...], ...]

RECORDED_FROM = 3
"""A recording costs as much as five runs: worth it for a size that comes again and again."""
RECORDINGS_KEPT = 8
SIZES_REMEMBERED = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Recording:
    graph: Any
    given: Tensors
    found: Tensors


class Replayed:
    """A function of tensors on a GPU; sizes that recur are replayed as CUDA graphs.

    Threads take turns. The least recently used recording leaves. When a recording fails there are
    no more until `forget`.
    """

    def __init__(self, work: Callable[..., Tensors]) -> None:
        self._work = work
        self._seen: Counter[Size] = Counter()
        self._recordings: OrderedDict[Size, _Recording] = OrderedDict()
        self._pool: Any = None
        self._recordable = True
        self._turn = threading.Lock()

    def __call__(self, *given: torch.Tensor) -> Tensors:
        size = tuple(tuple(tensor.shape) for tensor in given)
        with self._turn:
            recording = self._recording_of(size, given)
            if recording is None:
                return self._work(*given)
            for held, new in zip(recording.given, given, strict=True):
                held.copy_(new)
            recording.graph.replay()
            # The next replay writes where these are.
            return tuple(tensor.clone() for tensor in recording.found)

    def forget(self) -> None:
        """Give the memory of all recordings back."""
        with self._turn:
            self._seen.clear()
            self._recordings.clear()
            self._pool = None
            self._recordable = True

    def _recording_of(self, size: Size, given: Tensors) -> _Recording | None:
        if size in self._recordings:
            self._recordings.move_to_end(size)
            return self._recordings[size]
        if len(self._seen) >= SIZES_REMEMBERED:
            self._seen.clear()
        self._seen[size] += 1
        if self._seen[size] < RECORDED_FROM or not self._recordable:
            return None
        while len(self._recordings) >= RECORDINGS_KEPT:
            leaving, _ = self._recordings.popitem(last=False)
            del self._seen[leaving]
        try:
            self._recordings[size] = self._record(given)
        except RuntimeError as error:
            # Too little memory, or a PyTorch that cannot record this: slower is better than not at all.
            _log.warning("Work on this GPU is not replayed: %s", error)
            self._recordable = False
            return None
        return self._recordings[size]

    def _record(self, given: Tensors) -> _Recording:
        held = tuple(tensor.clone() for tensor in given)
        device = given[0].device
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            # PyTorch asks for some runs on another stream, where whatever is made once gets made.
            for _ in range(3):
                self._work(*held)
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            found = self._work(*held)
        # All recordings work in one memory: they never run together.
        self._pool = self._pool or graph.pool()
        return _Recording(graph, held, found)


def rounded_up(number: int) -> int:
    """Few sizes for many numbers: at most an eighth more."""
    step = 1 << max(0, number.bit_length() - 4)
    return -(-number // step) * step
