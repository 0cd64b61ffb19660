"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from mofsim_client import __version__
from mofsim_client.cli import _models, _structures, _system, _tasks
from mofsim_client.cli._context import Context, RootGroup
from mofsim_client.cli._exit_codes import EPILOG
from mofsim_client.cli._output import Format
from mofsim_client.cli._submit import submit
from mofsim_client.cli._top import top

app = typer.Typer(
    cls=RootGroup,
    name="mofsim",
    help="Simulations of metal-organic frameworks as a service.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(submit)
app.add_typer(_tasks.app, name="task")
app.add_typer(_models.app, name="models")
app.add_typer(_structures.app, name="structures")
app.add_typer(_system.system, name="system")
app.add_typer(_system.alerts, name="alerts")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_system.keys)
app.command()(top)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mofsim-client {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    home: Annotated[
        str | None, typer.Option(help="Home folder of a local stack (else MOFSIM_HOME, ~/.mofsim).")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of the server (else MOFSIM_BASE_URL).")] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="Form of the results.")] = Format.table,
    language: Annotated[str, typer.Option(help="Language of the server's messages: en or zh.")] = "en",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that may stand before or after the command; the key comes from MOFSIM_API_KEY or the home."""
    ctx.obj = Context(home, url, language, output)


def main() -> None:
    """Run the command line."""
    app(prog_name="mofsim")
