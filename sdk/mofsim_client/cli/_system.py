"""`system …`, `alerts …` and `keys`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mofsim_client.cli._context import client_of, form_of
from mofsim_client.cli._exit_codes import ExitCode
from mofsim_client.cli._output import Format, console, repeatedly, write_document, write_rows

system = typer.Typer(help="Health, GPUs, queue, storage and settings of the service.", no_args_is_help=True)
alerts = typer.Typer(help="What the service warns of.", no_args_is_help=True)

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every two seconds.")]

GPU_COLUMNS = (
    "gpu_id",
    "state",
    "device",
    "memory_free_MB",
    "memory_total_MB",
    "temperature_C",
    "utilisation_percent",
    "warm_models",
    "current",
    "error",
)
ALERT_COLUMNS = ("alert_id", "level", "type", "subject", "message", "raised_at", "resolved_at")


class AlertLevel(StrEnum):
    """How grave an alert is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


@system.command()
def status(ctx: typer.Context, watch: Watch = False) -> None:
    """Show health, GPUs and queue together."""
    form = form_of(ctx)
    with client_of(ctx) as client:
        for _ in repeatedly(watch):
            found = client.get_system_status()
            if form is not Format.table:
                write_document(found.to_dict(), form)
                continue
            states = {name: part.state for name, part in found.health.components.items()}
            write_document({"status": found.health.status, "version": found.health.version, **states}, form)
            console().print()
            write_rows([gpu.to_dict() for gpu in found.gpus], GPU_COLUMNS, form)
            console().print()
            write_document(found.queue.to_dict(), form)


@system.command()
def gpus(ctx: typer.Context, watch: Watch = False) -> None:
    """Show the state of each GPU."""
    with client_of(ctx) as client:
        for _ in repeatedly(watch):
            write_rows([gpu.to_dict() for gpu in client.list_gpus()], GPU_COLUMNS, form_of(ctx))


@system.command()
def queue(ctx: typer.Context, watch: Watch = False) -> None:
    """Show the counts of the task queue."""
    with client_of(ctx) as client:
        for _ in repeatedly(watch):
            write_document(client.get_queue().to_dict(), form_of(ctx))


@system.command()
def health(ctx: typer.Context) -> None:
    """Show the health of the service; exit code 7 when it is not ok."""
    with client_of(ctx) as client:
        found = client.get_health()
    write_document(found.to_dict(), form_of(ctx))
    if found.status != "ok":
        raise typer.Exit(ExitCode.SERVER)


@system.command()
def storage(ctx: typer.Context) -> None:
    """Show what the server keeps, and how much room is left."""
    with client_of(ctx) as client:
        write_document(client.get_storage().to_dict(), form_of(ctx))


@system.command()
def due(ctx: typer.Context) -> None:
    """Show what the daily data care would compress and clear away now (scope admin)."""
    with client_of(ctx) as client:
        write_document(client.get_storage_due().to_dict(), form_of(ctx))


@system.command()
def config(ctx: typer.Context) -> None:
    """Show the server's settings, with every secret masked."""
    with client_of(ctx) as client:
        write_document(client.get_config(), form_of(ctx))


@system.command()
def logs(ctx: typer.Context) -> None:
    """Follow the gateway's own log (scope admin); with `--output json` one JSON document a line."""
    as_json = form_of(ctx) is Format.json
    with client_of(ctx) as client:
        for line in client.stream_system_logs():
            typer.echo(line.model_dump_json() if as_json else str(line))


@alerts.command()
def active(ctx: typer.Context, watch: Watch = False) -> None:
    """List the alerts that last."""
    with client_of(ctx) as client:
        for _ in repeatedly(watch):
            rows = [alert.to_dict() for alert in client.list_active_alerts()]
            write_rows(rows, ALERT_COLUMNS[:-1], form_of(ctx))


@alerts.command()
def history(
    ctx: typer.Context,
    rule: Annotated[str | None, typer.Option("--type", help="Only those of this rule.")] = None,
    level: Annotated[AlertLevel | None, typer.Option(case_sensitive=False)] = None,
    limit: Annotated[int, typer.Option(min=1, help="Newest alerts shown.")] = 20,
) -> None:
    """List alerts, lasting or over, newest first."""
    with client_of(ctx) as client:
        found = client.list_alerts(type=rule, level=level.value if level else None)
        rows = [alert.to_dict() for alert, _ in zip(found, range(limit), strict=False)]
    write_rows(rows, ALERT_COLUMNS, form_of(ctx))


@alerts.command()
def rules(ctx: typer.Context) -> None:
    """List the rules with their thresholds; they are muted and edited in Prefect's UI."""
    with client_of(ctx) as client:
        rows = [rule.to_dict() for rule in client.list_alert_rules()]
    columns = ("type", "level", "side", "threshold", "clears_at", "unit", "muted", "active", "automation")
    write_rows(rows, columns, form_of(ctx))


def keys(
    arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Say where API keys are made: on the server, by its own `./mofsim keys`."""
    console(stderr=True).print(
        "Keys are made, listed and revoked where the stack runs, by whoever runs it:\n"
        "  ./mofsim keys create NAME --scope read,write [--rate 600/min] [--expires 90d]\n"
        "  ./mofsim keys list\n"
        "  ./mofsim keys revoke NAME\n"
        "Here a key is given by MOFSIM_API_KEY; a stack of your own machine needs none.",
        markup=False,
    )
    raise typer.Exit(ExitCode.USAGE)
