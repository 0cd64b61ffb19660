"""Progress on standard error: a live bar on a terminal, a line per change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from mofsim_client import BatchProgress, TaskInfo, TaskStatus
from mofsim_client.cli._output import console


def describe(info: TaskInfo) -> str:
    """A task's state in a few words."""
    progress = info.progress
    if info.status is TaskStatus.QUEUED and info.position:
        return f"{info.status} at place {info.position}"
    if info.status is not TaskStatus.RUNNING or progress is None:
        return str(info.status)
    words = [str(info.status), progress.stage or ""]
    if progress.current_step is not None:
        words.append(
            f"step {progress.current_step}" + (f"/{progress.total_steps}" if progress.total_steps else "")
        )
    words += [
        f"{name} {value:.6g}" for name, value in (progress.values or {}).items() if isinstance(value, float)
    ]
    return " ".join(word for word in words if word)


@contextmanager
def task_progress(task_id: str) -> Iterator[Callable[[TaskInfo], None]]:
    """Yield an `on_progress` for one task."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        last = ""

        def say(info: TaskInfo) -> None:
            nonlocal last
            text = describe(info)
            if text != last:
                screen.print(f"{task_id} {text}")
            last = text

        yield say
        return
    with Progress(
        TextColumn(task_id),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=screen,
    ) as bars:
        bar = bars.add_task("", total=100)

        def draw(info: TaskInfo) -> None:
            percentage = 100.0 if info.status.ended else (info.progress and info.progress.percentage) or 0.0
            bars.update(bar, completed=percentage, description=describe(info))

        yield draw


@contextmanager
def batch_progress(tasks: Sequence[object]) -> Iterator[Callable[[BatchProgress], None]]:
    """Yield an `on_progress` for several tasks."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda at: screen.print(f"{at.done}/{at.total} {at.last.task_id} {at.last.status}")
        return
    with Progress(
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.description}"),
        TimeElapsedColumn(),
        console=screen,
    ) as bars:
        bar = bars.add_task("", total=len(tasks))
        yield lambda at: bars.update(
            bar, completed=at.done, description=f"{at.last.task_id} {at.last.status}"
        )


@contextmanager
def upload_progress(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield an `on_progress` for an upload; None where nobody watches."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=screen) as bars:
        bar = bars.add_task(name)
        yield lambda sent, total: bars.update(bar, completed=sent, total=total)
