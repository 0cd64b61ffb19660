"""`submit`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mofsim_client import MOFSimClient, Result, Task, requests
from mofsim_client.cli._context import client_of, form_of, words_or_stdin
from mofsim_client.cli._output import write_rows
from mofsim_client.cli._parameters import read_parameters
from mofsim_client.cli._tasks import SUMMARY, show_result, wait_for

LARGEST_BATCH = 1000


class Calculation(StrEnum):
    """The six calculations."""

    SINGLE_POINT = "single-point-energy"
    OPTIMIZATION = "optimization"
    STABILITY = "stability"
    BULK_MODULUS = "bulk-modulus"
    HEAT_CAPACITY = "heat-capacity"
    INTERACTION_ENERGY = "interaction-energy"


class Priority(StrEnum):
    """The four queues."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


def submit(
    ctx: typer.Context,
    calculation: Annotated[Calculation, typer.Argument(metavar="TYPE", help=", ".join(Calculation))],
    structures: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|NAME…",
            help="Files, built-in names or uploaded ids; - reads them from standard input.",
        ),
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Registry name of the potential.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", help="name=value, as often as needed; nested: nvt.steps=1000."),
    ] = None,
    priority: Annotated[Priority, typer.Option(case_sensitive=False)] = Priority.NORMAL,
    timeout: Annotated[int | None, typer.Option(help="Longest run time of a task, s.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Word to find the task by; repeatable.")] = None,
    require_convergence: Annotated[
        bool, typer.Option("--require-convergence", help="Fail instead of flagging an unconverged result.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show progress and wait for the end.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="With --watch: write results and files into this folder.")
    ] = None,
) -> None:
    """Submit a calculation for one structure or for many.

    Several structures become one batch per thousand. The tasks' ids go to standard output, progress
    to standard error.
    """
    kind = requests.SUBMISSIONS[calculation]
    parameters = read_parameters(kind, param or [])
    submissions = [
        kind(
            structure,
            model,
            priority=priority.value,
            timeout=timeout,
            tags=tuple(tag or ()),
            require_convergence=require_convergence,
            **parameters,
        )
        for structure in words_or_stdin(structures)
    ]
    with client_of(ctx) as client:
        tasks = _submit(client, submissions)
        if not watch:
            write_rows([task.info.to_dict() for task in tasks], SUMMARY, form_of(ctx))
            return
        outcomes = wait_for(client, tasks)
        if save is not None:
            for result in outcomes:
                if isinstance(result, Result):
                    result.save(save / result.task_id if len(tasks) > 1 else save)
        show_result(ctx, tasks, outcomes)


def _submit(client: MOFSimClient, submissions: list[requests.Submission[Any]]) -> list[Task[Any]]:
    if len(submissions) == 1:
        return [client.submit(submissions[0])]
    tasks: list[Task[Any]] = []
    for start in range(0, len(submissions), LARGEST_BATCH):
        tasks += client.submit_batch(submissions[start : start + LARGEST_BATCH])
    return tasks
