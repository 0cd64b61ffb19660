"""`task …`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mofsim_client import MOFSimClient, MOFSimError, Result, Task, TaskError
from mofsim_client.cli._context import client_of, form_of, words_or_stdin
from mofsim_client.cli._exit_codes import exit_code
from mofsim_client.cli._output import Format, console, repeatedly, write_document, write_rows
from mofsim_client.cli._progress import batch_progress, task_progress

SUMMARY = ("task_id", "status", "task_type", "model", "structure_name", "priority", "gpu_id", "created_at")

app = typer.Typer(help="Look at tasks and steer them.", no_args_is_help=True)

TaskId = Annotated[str, typer.Argument(metavar="TASK")]
TaskIds = Annotated[list[str], typer.Argument(metavar="TASK…", help="- reads ids from standard input.")]
Timeout = Annotated[float | None, typer.Option(help="Longest wait, s.")]


@app.command()
def show(ctx: typer.Context, task_id: TaskId) -> None:
    """Show a task's state."""
    with client_of(ctx) as client:
        write_document(client.get_task(task_id).info.to_dict(), form_of(ctx))


@app.command("list")
def list_tasks(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="QUEUED, RUNNING, COMPLETED, …")] = None,
    task_type: Annotated[str | None, typer.Option("--type")] = None,
    model: Annotated[str | None, typer.Option()] = None,
    batch: Annotated[str | None, typer.Option(help="batch_…")] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest tasks shown.")] = 20,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every two seconds.")] = False,
) -> None:
    """List tasks, newest first."""
    with client_of(ctx) as client:
        for _ in repeatedly(watch):
            tasks = client.list_tasks(
                status=status, task_type=task_type, model=model, batch_id=batch, tag=tag, limit=limit
            )
            write_rows([task.info.to_dict() for task in tasks], SUMMARY, form_of(ctx))


@app.command()
def batch(ctx: typer.Context, batch_id: Annotated[str, typer.Argument(metavar="BATCH")]) -> None:
    """Show where the tasks of a batch stand."""
    form = form_of(ctx)
    with client_of(ctx) as client:
        found = client.get_batch(batch_id)
    if form is not Format.table:
        write_document(found.to_dict(), form)
        return
    write_document({status: count for status, count in found.counts.items() if count}, form)
    console().print()
    write_rows([task.to_dict() for task in found.tasks], SUMMARY, form)


@app.command()
def logs(
    ctx: typer.Context,
    task_id: TaskId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task ends.")] = False,
    level: Annotated[str | None, typer.Option(help="Lowest level shown.")] = None,
) -> None:
    """Print a task's log; with `--output json` one JSON document a line."""
    with client_of(ctx) as client:
        task = client.get_task(task_id)
        as_json = form_of(ctx) is Format.json
        for line in task.stream_logs() if follow else task.logs(level=level):
            typer.echo(line.model_dump_json() if as_json else str(line))


@app.command()
def cancel(ctx: typer.Context, task_ids: TaskIds) -> None:
    """Stop tasks: queued ones at once, running ones at their next step."""
    with client_of(ctx) as client:
        rows = [client.cancel_task(task_id).to_dict() for task_id in words_or_stdin(task_ids)]
    write_rows(rows, ("task_id", "status"), form_of(ctx))


@app.command()
def retry(ctx: typer.Context, task_id: TaskId) -> None:
    """Submit a task's request again, as a new task."""
    with client_of(ctx) as client:
        write_rows([client.retry_task(task_id).info.to_dict()], ("task_id", "status"), form_of(ctx))


@app.command()
def result(
    ctx: typer.Context,
    task_id: TaskId,
    save: Annotated[
        Path | None, typer.Option(help="Write the result and its files into this folder.")
    ] = None,
) -> None:
    """Show a completed task's result."""
    with client_of(ctx) as client:
        document = client.get_result(task_id)
        if save is not None:
            for path in document.save(save):
                console(stderr=True).print(f"wrote {path}")
        write_document(document.to_dict(), form_of(ctx))


@app.command()
def files(
    ctx: typer.Context,
    task_id: TaskId,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the files into this folder.")
    ] = None,
) -> None:
    """List the files of an ended task, also of one that failed or was stopped on its way."""
    with client_of(ctx) as client:
        task = client.get_task(task_id)
        rows = [file.to_dict() for file in task.files()]
        if download is not None:
            for path in task.download_files(download):
                console(stderr=True).print(f"wrote {path}")
    write_rows(rows, ("path", "role", "size_bytes", "file_id"), form_of(ctx))


@app.command()
def wait(ctx: typer.Context, task_ids: TaskIds, timeout: Timeout = None) -> None:
    """Wait until tasks have ended and show their results."""
    with client_of(ctx) as client:
        tasks = [client.get_task(task_id) for task_id in words_or_stdin(task_ids)]
        show_result(ctx, tasks, wait_for(client, tasks, timeout))


@app.command()
def delete(ctx: typer.Context, task_ids: TaskIds) -> None:
    """Remove ended tasks and their files (scope admin)."""
    with client_of(ctx) as client:
        for task_id in words_or_stdin(task_ids):
            client.delete_task(task_id)
            console(stderr=True).print(f"deleted {task_id}")


@app.command()
def webhooks(
    ctx: typer.Context,
    task_id: TaskId,
    redeliver: Annotated[str | None, typer.Option(metavar="DLV", help="Send this one again first.")] = None,
) -> None:
    """Show a task's webhook messages and how each try went."""
    with client_of(ctx) as client:
        if redeliver is not None:
            client.redeliver_webhook(task_id, redeliver)
        rows = [delivery.to_dict() for delivery in client.list_webhooks(task_id)]
    write_rows(rows, ("delivery_id", "event", "url", "status", "attempts"), form_of(ctx))


def wait_for(client: MOFSimClient, tasks: Sequence[Task[Any]], timeout: float | None = None) -> list[Any]:
    """Wait with progress; the error of a task that failed stands in its result's place."""
    if len(tasks) > 1:
        with batch_progress(tasks) as on_progress:
            return client.wait_all(tasks, timeout=timeout, on_progress=on_progress, return_errors=True)
    with task_progress(tasks[0].id) as on_task_progress:
        try:
            return [tasks[0].wait(timeout, on_task_progress)]
        except TaskError as error:
            return [error]


def show_result(ctx: typer.Context, tasks: Sequence[Task[Any]], outcomes: Sequence[Any]) -> None:
    """Write one result as a document, several as rows; fail when a task ended without one."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, MOFSimError)]
    if len(tasks) > 1:
        rows = [
            task.info.to_dict()
            | (outcome.to_dict() if isinstance(outcome, Result) else {"detail": str(outcome)})
            for task, outcome in zip(tasks, outcomes, strict=True)
        ]
        columns = ("task_id", "status", "structure_name", "converged", "duration_seconds", "detail")
        write_rows(rows, columns, form_of(ctx))
    elif not errors:
        write_document(outcomes[0].to_dict(), form_of(ctx))
    if errors:
        if len(tasks) == 1:
            raise errors[0]
        raise typer.Exit(exit_code(errors[0]))
