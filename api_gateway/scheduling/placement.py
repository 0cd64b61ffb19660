"""Which task goes to which GPU: a pure decision over a picture of the queue and the slots.

Order is strict: priority, then place. A task that fits on no free GPU keeps its place and lets the
next one by, so that no GPU stands idle beside a task it could run. The choice among free GPUs:
fits in memory, model already warm, not the spare, least loaded, coolest, longest idle. A task that
ran out of memory waits for one of the largest GPUs, which is emptied for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

MEMORY_MARGIN_MB = 512.0
"""Free memory that a placement leaves beyond the estimate."""

LARGEST_FRACTION = 0.98
"""GPUs of one kind differ by a little in the memory they report."""


@dataclass(frozen=True, kw_only=True)
class QueuedTask:
    """A task that waits; smaller `(priority, place)` goes first."""

    task_id: str
    attempt: int
    priority: int
    place: int
    model: str
    memory_MB: float | None = None
    """None: not known, fits anywhere."""
    whole_gpu: bool = False
    """It ran out of memory before: its last try has one of the largest GPUs to itself."""

    @property
    def critical(self) -> bool:
        return self.priority == 0


@dataclass(frozen=True, kw_only=True)
class Occupant:
    """An attempt that holds a slot, or waits at it."""

    running: bool
    """Its flow has begun and nobody asked it to stop."""
    remaining_seconds: float | None = None
    """Expected rest of its run; None when no like task was measured or it overran."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A GPU as its host last reported it."""

    gpu_id: int
    alive: bool
    """Reporting, and reporting that it is well."""
    memory_total_MB: float | None = None
    memory_free_MB: float | None = None
    memory_reclaimable_MB: float = 0.0
    """What the host itself holds and can give back: warm models, freed blocks."""
    temperature_C: float | None = None
    utilisation_percent: float | None = None
    warm_models: frozenset[str] = frozenset()
    occupants: tuple[Occupant, ...] = ()
    idle_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What an operator can set."""

    slots: int
    """Configured number of slots: one that never reported counts as lost."""
    spare_gpu: int | None = None
    bind_ahead_below_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A task for a GPU, and why."""

    task: QueuedTask
    gpu_id: int
    ahead: bool
    """Bound to a slot that still runs another task."""
    reasons: dict[str, Any] = field(compare=False)


def place(queue: Iterable[QueuedTask], slots: Sequence[Slot], rules: Rules) -> list[Decision]:
    """Decide for as many tasks as there is room.

    Parameters
    ----------
    queue
        Waiting tasks in the order of `(priority, place)`.
    slots
        Every known slot.
    rules
        The operator's settings.
    """
    standing_in = _spare_stands_in(slots, rules)
    idle = {slot.gpu_id: slot for slot in slots if slot.alive and not slot.occupants}
    ending = {slot.gpu_id: slot for slot in slots if slot.alive and _ends_soon(slot, rules)}
    decisions: list[Decision] = []
    taken: set[int] = set()
    for task in queue:
        if not idle and not ending:
            break
        allowed = [s for s in slots if s.alive and _spare_allows(s, task, rules, standing_in)]
        holding = {s.gpu_id for s in able_to_hold(task, allowed)}
        for free, ahead in ((idle, False), (ending, True)):
            if task.whole_gpu and ahead:
                continue
            fitting = [s for s in free.values() if s.gpu_id in holding]
            if not fitting:
                continue
            chosen = min(fitting, key=lambda slot: _preference(slot, task, rules, ahead=ahead))
            reasons = _reasons(task, chosen, slots, fitting, taken, rules, ahead=ahead)
            decisions.append(Decision(task=task, gpu_id=chosen.gpu_id, ahead=ahead, reasons=reasons))
            del free[chosen.gpu_id]
            taken.add(chosen.gpu_id)
            break
    return decisions


def fits(task: QueuedTask, slot: Slot) -> bool:
    """Whether the estimate and the margin fit in what is free or can be freed; the unknown fits."""
    if task.memory_MB is None or slot.memory_free_MB is None:
        return True
    return task.memory_MB + MEMORY_MARGIN_MB <= slot.memory_free_MB + slot.memory_reclaimable_MB


def able_to_hold(task: QueuedTask, slots: Sequence[Slot]) -> list[Slot]:
    """Those of the slots that the task may be put on as far as memory goes."""
    if not task.whole_gpu:
        return [slot for slot in slots if fits(task, slot)]
    # Its estimate has grown beyond what it may really need: only size counts, not what is free.
    largest = max((slot.memory_total_MB or 0.0 for slot in slots), default=0.0)
    return [slot for slot in slots if (slot.memory_total_MB or 0.0) >= LARGEST_FRACTION * largest]


def _spare_stands_in(slots: Sequence[Slot], rules: Rules) -> bool:
    """The spare works for all when another GPU is lost, and where it is the only one."""
    regular = [gpu_id for gpu_id in range(rules.slots) if gpu_id != rules.spare_gpu]
    alive = {slot.gpu_id for slot in slots if slot.alive}
    return not regular or any(gpu_id not in alive for gpu_id in regular)


def _spare_allows(slot: Slot, task: QueuedTask, rules: Rules, standing_in: bool) -> bool:
    return slot.gpu_id != rules.spare_gpu or task.critical or standing_in


def _ends_soon(slot: Slot, rules: Rules) -> bool:
    """Exactly one attempt holds the slot and will be done shortly: the next may wait at its door."""
    if len(slot.occupants) != 1:
        return False
    (occupant,) = slot.occupants
    return (
        occupant.running
        and occupant.remaining_seconds is not None
        and occupant.remaining_seconds <= rules.bind_ahead_below_seconds
    )


def _preference(slot: Slot, task: QueuedTask, rules: Rules, *, ahead: bool) -> tuple[float, ...]:
    """Smaller is better."""
    remaining = slot.occupants[0].remaining_seconds or 0.0 if ahead else 0.0
    return (
        task.model not in slot.warm_models,
        slot.gpu_id == rules.spare_gpu,
        # In coarse steps: noise must not hide how long a GPU has been idle.
        (slot.utilisation_percent or 0.0) // 25,
        (slot.temperature_C or 0.0) // 10,
        remaining,
        -slot.idle_seconds,
        slot.gpu_id,
    )


def _reasons(
    task: QueuedTask,
    chosen: Slot,
    slots: Sequence[Slot],
    fitting: Sequence[Slot],
    taken: Set[int],
    rules: Rules,
    *,
    ahead: bool,
) -> dict[str, Any]:
    """The decision in words that an operator can check."""
    candidates = {slot.gpu_id for slot in fitting}
    passed_over: dict[str, list[int]] = defaultdict(list)
    for slot in slots:
        if slot.gpu_id not in candidates:
            passed_over[_why_not(slot, task, taken, rules)].append(slot.gpu_id)
    return {
        "model_warm": task.model in chosen.warm_models,
        "bound_ahead": ahead,
        "spare": chosen.gpu_id == rules.spare_gpu,
        "memory_needed_MB": task.memory_MB,
        "memory_free_MB": chosen.memory_free_MB,
        "memory_reclaimable_MB": chosen.memory_reclaimable_MB,
        "whole_gpu": task.whole_gpu,
        "idle_seconds": round(chosen.idle_seconds, 1),
        "candidates": sorted(candidates),
        "passed_over": dict(passed_over),
    }


def _why_not(slot: Slot, task: QueuedTask, taken: Set[int], rules: Rules) -> str:
    if not slot.alive:
        return "not alive"
    if slot.occupants or slot.gpu_id in taken:
        return "busy"
    if slot.gpu_id == rules.spare_gpu and fits(task, slot):
        return "spare"
    return "too little memory"
