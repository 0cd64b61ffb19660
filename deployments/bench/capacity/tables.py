"""The measured figures and the arithmetic as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from rich.table import Table

from deployments.bench.capacity.arithmetic import Footprint, Plan, Retention, stored
from deployments.bench.capacity.footprint import NOTHING, Usage

GIB, MB, KB = 2.0**30, 1e6, 1e3
DAYS = (180, 365, 3650)


def by_shelf(items: Mapping[str, Usage]) -> dict[str, Usage]:
    """Items summed; log lines raw and gzipped are the same lines twice, and stay apart."""
    shelves: dict[str, Usage] = defaultdict(lambda: NOTHING)
    for name, usage in items.items():
        shelf = name if name.startswith("log/") else name.partition("/")[0]
        shelves[shelf] += usage
    return shelves


SHELVES = (
    *("database", "prefect", "trajectory", "packed trajectory"),
    *("file", "structure", "log/task", "log/task.gz"),
)


def table_of_tasks(title: str, tasks: Sequence[Footprint]) -> Table:
    """kB of each shelf, and rows of both databases."""
    table = Table(
        "task", "structure", "MD steps", "rows", "Prefect's", *(f"{s}, kB" for s in SHELVES), title=title
    )
    for one in tasks:
        shelves = by_shelf(one.items)
        rows = [f"{shelves[shelf].number:.0f}" for shelf in ("database", "prefect")]
        sizes = [f"{shelves[shelf].bytes / KB:.1f}" for shelf in SHELVES]
        steps = str(one.md_steps or "")
        table.add_row(one.task_type, f"{one.structure} ({one.atoms})", steps, *rows, *sizes)
    return table


def table_of_items(tasks: Sequence[Footprint]) -> Table:
    """Rows and bytes of every table, mean over all tasks."""
    table = Table("table", "rows a task", "bytes a row", "kB a task", title="Means over all tasks")
    names = sorted(
        {name for one in tasks for name in one.items if name.split("/")[0] in ("database", "prefect")}
    )
    for name in names:
        total = sum((one.items.get(name, NOTHING) for one in tasks), NOTHING)
        number, size = total.number / len(tasks), total.bytes / len(tasks)
        table.add_row(name, f"{number:.1f}", f"{size / number:.0f}", f"{size / KB:.2f}")
    return table


def table_of_disk(whole: Sequence[Footprint], plan: Plan, keep: Retention) -> Table:
    """GiB by shelf, at some days of operation."""
    after = [stored(whole, plan, keep, days) for days in DAYS]
    table = Table(
        "GiB after",
        *(f"{days} days" for days in DAYS),
        title=f"{plan.tasks_a_day:g} tasks a day, extrapolated",
    )
    for shelf in sorted(after[0]):
        table.add_row(shelf, *(f"{at.get(shelf, 0.0) / GIB:.2f}" for at in after))
    table.add_row("all", *(f"{sum(at.values()) / GIB:.1f}" for at in after))
    return table
