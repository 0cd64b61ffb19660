"""The commands for whoever runs a stack; those for its users are in `mofsim_client`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, Any

import typer

from deployments import bench as benchmarks
from deployments.cli import checks, operations
from deployments.cli.common import HomeOption, console, fail, home_of
from deployments.environment import client_environment
from deployments.stack import lifecycle
from deployments.stack import status as stack_status
from deployments.stack.errors import StackError
from mofsim_settings import load_settings

app = typer.Typer(
    name="mofsim",
    help="Simulations of metal-organic frameworks as a service: run the stack.",
    epilog="For users of a stack: submit, task, models, structures, system (each with --help).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(help="The models of this host.", no_args_is_help=True)
app.add_typer(models, name="models")
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""Settings of commands that hand all their arguments to another program."""


@app.command()
def up(
    home: HomeOption = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the gateway (8000); 0: any free one.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, max=512, help="Number of GPU slots (1).")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the stack is up.")] = False,
) -> None:
    """Start the stack: PostgreSQL, Prefect, Dask, GPU hosts, pool worker, gateway."""
    folder = home_of(home)
    started = time.monotonic()
    _end_on_signals()
    try:
        stack = lifecycle.up(
            folder,
            port=port,
            slots=slots,
            on_ready=lambda name: console.print(f"  {time.monotonic() - started:5.1f} s  {name}"),
        )
    except StackError as error:
        fail(str(error))
    stack_status.print_addresses(console, stack)
    if detach:
        return
    console.print("Running; Ctrl-C stops it (a second terminal can use it meanwhile).")
    try:
        lifecycle.wait_until_stopped(stack)
    except KeyboardInterrupt:
        console.print("Stopping; running tasks get time to end (Ctrl-C again: stop now).")
        _stop(folder)


@app.command()
def down(
    home: HomeOption = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for running tasks.")] = False,
) -> None:
    """Stop the stack and leave no process behind; unfinished tasks continue at the next start."""
    folder = home_of(home)
    _end_on_signals()
    try:
        stopped = lifecycle.down(folder, wait_for_tasks=not now)
    except StackError as error:
        fail(str(error))
    console.print(f"Stopped {stopped} processes." if stopped else f"No stack is up in {folder}.")


@app.command()
def status(home: HomeOption = None) -> None:
    """Show each part with process, uptime and address, and the GPU slots."""
    folder = home_of(home)
    stack = lifecycle.find(folder)
    if stack is None:
        fail(f"No stack is up in {folder}. Start one with `./mofsim up`.")
    stack_status.print_parts(console, stack)
    stack_status.print_slots(console, stack)
    stack_status.print_addresses(console, stack)


@app.command()
def logs(
    part: Annotated[
        str | None, typer.Argument(help="gateway, worker, host, prefect, …; all by default.")
    ] = None,
    home: HomeOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last lines of each file.")] = 40,
) -> None:
    """Print what the parts wrote."""
    folder = load_settings(home_of(home)).log_dir
    names = sorted(path.stem for path in folder.glob("*.log"))
    chosen = [name for name in names if part is None or name == part or name.startswith(f"{part}-")]
    if not chosen:
        fail(f"No log {part or ''} in {folder}; there are: {', '.join(names) or 'none'}.")
    files = [str(folder / f"{name}.log") for name in chosen]
    # `tail` follows several files through rotation better than anything written here would.
    words = ["tail", "-n", str(lines), *(["-F"] if follow else []), *(["-v"] if len(files) > 1 else [])]
    raise typer.Exit(_run([*words, *files]))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up.")] = False,
    home: HomeOption = None,
) -> None:
    """Optimize MOF-5 with SevenNet-0 + D3 through the whole system; files go to ./mofsim-demo/."""
    # The science and the client take a second to import, which the other commands need not spend.
    from mofsim_client import MOFSimError

    from deployments.demo import run as run_demo

    _end_on_signals()
    try:
        run_demo(home_of(home), Path.cwd() / "mofsim-demo", keep=keep, console=console)
    except (StackError, MOFSimError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("Interrupted; the stack was stopped.")


@app.command(context_settings=PASS_THROUGH)
def test(context: typer.Context) -> None:
    """Run format, lint and type checks and all tests; with arguments, pytest with these alone."""
    raise typer.Exit(checks.run(context.args))


@app.command(context_settings=PASS_THROUGH)
def bench(context: typer.Context, name: Annotated[str, typer.Argument()] = "") -> None:
    """Measure this installation (`./mofsim bench` lists what)."""
    known = sorted(m.name for m in iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    if name not in known:
        fail(f"There is no benchmark {name!r}; there are: {', '.join(known)}.")
    raise typer.Exit(_module(f"{benchmarks.__name__}.{name}", *context.args))


@app.command(context_settings=PASS_THROUGH)
def docs(context: typer.Context) -> None:
    """Serve the documentation, on port 8001 (`./mofsim docs build` writes it to ./site instead)."""
    words = context.args or ["serve", "--dev-addr", "127.0.0.1:8001"]
    # MkDocs takes its paths from the folder it runs in.
    os.chdir(checks.ROOT)
    os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")
    raise typer.Exit(_module("mkdocs", *words))


@app.command(context_settings=PASS_THROUGH)
def keys(context: typer.Context) -> None:
    """Make, list and revoke API keys (`./mofsim keys create NAME --scope read,write`)."""
    raise typer.Exit(_module("api_gateway.keys", *context.args))


@app.command(context_settings=PASS_THROUGH)
def prefect(context: typer.Context) -> None:
    """Run Prefect's own command line on this stack's server (`./mofsim prefect automation ls`)."""
    settings = load_settings()
    if not settings.prefect.api_url:
        fail("There is no Prefect server: start the stack, or set prefect.api_url.")
    os.environ.update(client_environment(settings))
    raise typer.Exit(_module("prefect", *context.args))


@models.command("install", context_settings=PASS_THROUGH)
def install_models(context: typer.Context) -> None:
    """Make the environment of a model family that lives apart (`./mofsim models install sevennet`)."""
    raise typer.Exit(_module("mof_benchmark.calculators.remote.install", *context.args))


app.command()(operations.part)
app.command()(operations.healthy)
app.command()(operations.deploy)
app.command()(operations.care)
app.command()(operations.backup)
app.command()(operations.restore)


def main() -> None:
    """Run the command line; the Tab key is answered for the client's commands as well."""
    if "_MOFSIM_COMPLETE" in os.environ:
        from mofsim_client.cli import app as client

        app.registered_commands += client.registered_commands
        for group in client.registered_groups:
            if group.name == "models" and group.typer_instance is not None:
                models.registered_commands += group.typer_instance.registered_commands
            else:
                app.registered_groups.append(group)
    app(prog_name="mofsim")


def _stop(folder: Path) -> None:
    try:
        lifecycle.down(folder)
    except KeyboardInterrupt:
        lifecycle.down(folder, wait_for_tasks=False)


def _module(name: str, *arguments: str) -> int:
    return _run([sys.executable, "-P", "-m", name, *arguments])


def _run(command: list[str]) -> int:
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _end_on_signals() -> None:
    """A closed terminal or a `kill` ends a command as Ctrl-C does, so that it cleans up."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    handler: Callable[[int, Any], None] = interrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)
