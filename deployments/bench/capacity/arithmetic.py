"""From what single tasks leave to what a disk must hold: plain arithmetic, no measurement.

An item is named `shelf/what`, as in `database/task_logs` or `trajectory/npt_trajectory`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deployments.bench.capacity.footprint import NOTHING, Usage

FULL_STEPS = {"nvt": 1000, "npt": 50_000}
"""Of the published protocol (parameters of `stability`)."""
PAGE_FILL = 0.7
"""Share of a page that rows and index entries fill in the long run: B-trees under random inserts come to 0.69
(Yao, Acta Informatica 9, 159 (1978)), tables fill more."""
_PAGED = ("database", "prefect")
_CAPPED = ("database/task_logs", "prefect/log", "log/task", "log/task.gz")
"""A stage tells of some 200 of its steps, however many there are."""
_BITMAP = "_plot"
"""How roles of PNG files end: their size goes by pixels."""
_CLEARED_WITH_RESULTS = ("database/task_results", "database/files")
_EVENTS = ("prefect/events", "prefect/event_resources")
_POWER_OF_ATOMS: Mapping[str, int] = {"heat-capacity": 2}
"""Force constants join each atom with each; everything else is one number or line an atom."""


@dataclass(frozen=True)
class Footprint:
    """What one task left, and what kind of task it was; `md_steps` is 0 but for `stability`."""

    task_type: str
    structure: str
    atoms: int
    md_steps: int
    items: Mapping[str, Usage]


@dataclass(frozen=True)
class Retention:
    """How many days things are kept; what is in none of these is kept for ever."""

    results: int = 180
    raw_trajectories: int = 30
    prefect_runs: int = 30
    prefect_events: int = 7
    raw_logs: int = 7

    def days(self, item: str, horizon: float) -> float:
        """Days' worth of an item that lie there after `horizon` days of operation."""
        shelf = item.partition("/")[0]
        if item in _EVENTS:
            return min(horizon, self.prefect_events)
        if shelf == "prefect":
            return min(horizon, self.prefect_runs)
        if shelf == "trajectory":
            return min(horizon, self.raw_trajectories)
        if shelf == "packed trajectory":
            return max(0.0, min(horizon, self.results) - self.raw_trajectories)
        if shelf == "file" or item in _CLEARED_WITH_RESULTS:
            return min(horizon, self.results)
        if item == "log/task":
            return min(horizon, self.raw_logs)
        if item == "log/task.gz":
            return max(0.0, horizon - self.raw_logs)
        return horizon


@dataclass(frozen=True)
class Plan:
    """How much is computed: tasks a day, of which types (shares need not add up to one), how large."""

    tasks_a_day: float = 100
    atoms: int = 200
    mix: Mapping[str, float] = field(
        default_factory=lambda: {
            "optimization": 50,
            "stability": 25,
            "single-point-energy": 10,
            "bulk-modulus": 5,
            "heat-capacity": 5,
            "interaction-energy": 5,
        }
    )

    def a_day(self, task_type: str) -> float:
        return self.tasks_a_day * self.mix.get(task_type, 0) / sum(self.mix.values())


def full_length(short: Footprint, long: Footprint) -> Footprint:
    """A `stability` task of the whole protocol, from two of fewer steps: a straight line through both.

    What is not of the NVT stage alone is taken to grow with the steps of NPT.

    Raises
    ------
    ValueError
        When both have as many steps, or they are of different structures.
    """
    if short.md_steps >= long.md_steps or short.structure != long.structure:
        raise ValueError(f"{short.structure}: two lengths of one structure are needed.")
    items = {}
    for name, usage in long.items.items():
        before = short.items.get(name, NOTHING)
        grown = 0.0 if name in _CAPPED or name.endswith(_BITMAP) else max(0.0, usage.bytes - before.bytes)
        full = FULL_STEPS["nvt" if "/nvt" in name else "npt"]
        more = (full - long.md_steps) / (long.md_steps - short.md_steps)
        items[name] = Usage(usage.number, usage.bytes + more * grown)
    return Footprint(long.task_type, long.structure, long.atoms, FULL_STEPS["npt"], items)


def of_full_length(measured: Sequence[Footprint]) -> list[Footprint]:
    """All tasks as the published protocol has them."""
    pairs: dict[str, list[Footprint]] = defaultdict(list)
    whole = []
    for one in measured:
        if one.md_steps:
            pairs[one.structure].append(one)
        else:
            whole.append(one)
    for lengths in pairs.values():
        lengths.sort(key=lambda one: one.md_steps)
        whole.append(full_length(lengths[0], lengths[-1]))
    return whole


def at_size(tasks: Sequence[Footprint], atoms: int) -> dict[str, Usage]:
    """Items of a task type for a structure of so many atoms, on a line through its smallest and its largest.

    What shrinks with the size (fewer steps to the minimum, say) stays as large as in the smaller one.
    """
    ordered = sorted(tasks, key=lambda one: one.atoms)
    small, large = ordered[0], ordered[-1]
    power = _POWER_OF_ATOMS.get(large.task_type, 1)
    span = large.atoms**power - small.atoms**power
    beyond = (atoms**power - large.atoms**power) / span if span else 0.0
    items = {}
    for name in {**small.items, **large.items}:
        one, other = small.items.get(name, NOTHING), large.items.get(name, NOTHING)
        number, size = max(one.number, other.number), max(one.bytes, other.bytes)
        items[name] = Usage(number, max(size + beyond * (size - one.bytes), 0.0))
    return items


def stored(tasks: Sequence[Footprint], plan: Plan, keep: Retention, horizon: float) -> dict[str, float]:
    """Bytes by shelf after `horizon` days, of tasks of full length."""
    shelves: dict[str, float] = defaultdict(float)
    for task_type in sorted({one.task_type for one in tasks}):
        items = at_size([one for one in tasks if one.task_type == task_type], plan.atoms)
        for name, usage in items.items():
            shelf = name.partition("/")[0]
            size = usage.bytes / PAGE_FILL if shelf in _PAGED else usage.bytes
            shelves[shelf] += plan.a_day(task_type) * size * keep.days(name, horizon)
    return dict(shelves)
