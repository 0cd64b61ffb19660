"""One bar for many tasks, in a terminal or a notebook (needs the extra `cli`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mofsim_client._documents import TaskInfo, TaskStatus
from mofsim_client._exceptions import MissingPackageError


@contextmanager
def one_bar(total: int, wanted: bool) -> Iterator[Callable[[TaskInfo], None]]:
    """Yield what to call with each task that has ended; it draws nothing unless `wanted`."""
    if not wanted:
        yield lambda info: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError as error:
        raise MissingPackageError("A progress bar needs Rich: pip install 'mofsim-client[cli]'.") from error
    failed = 0
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
    ) as bars:
        bar = bars.add_task("", total=total)

        def ended(info: TaskInfo) -> None:
            nonlocal failed
            failed += info.status is not TaskStatus.COMPLETED
            name = (info.structure_name or info.task_id).replace("[", r"\[")
            bars.update(
                bar, advance=1, description=f"{name}" + (f" · {failed} without result" * bool(failed))
            )

        yield ended
