"""`models …`, `structures …` and `system …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mofsim_client import BuiltinName, UploadedId
from mofsim_client.cli._context import client_of, form_of, words_or_stdin
from mofsim_client.cli._exit_codes import ExitCode
from mofsim_client.cli._output import write_document, write_rows

models = typer.Typer(help="The potentials and where they are loaded.", no_args_is_help=True)
structures = typer.Typer(help="Uploaded and built-in structures.", no_args_is_help=True)
system = typer.Typer(help="Health, GPUs and queue of the service.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(metavar="MODEL")]
GpuId = Annotated[int, typer.Option("--gpu", help="GPU number.")]

STRUCTURE_COLUMNS = ("file_id", "name", "formula", "n_atoms", "space_group", "density_g_cm3")


@models.command("list")
def list_models(ctx: typer.Context) -> None:
    """List the potentials, available or not."""
    with client_of(ctx) as client:
        rows = [model.to_dict() for model in client.list_models()]
    write_rows(rows, ("name", "framework", "with_d3", "available", "loaded_on", "reason"), form_of(ctx))


@models.command("show")
def show_model(ctx: typer.Context, name: ModelName) -> None:
    """Show a potential's settings and state."""
    with client_of(ctx) as client:
        write_document(client.get_model(name).to_dict(), form_of(ctx))


@models.command("load")
def load_model(ctx: typer.Context, name: ModelName, gpu: GpuId = 0) -> None:
    """Warm a model up on a GPU."""
    with client_of(ctx) as client:
        write_document(client.load_model(name, gpu).to_dict(), form_of(ctx))


@models.command("unload")
def unload_model(ctx: typer.Context, name: ModelName, gpu: GpuId = 0) -> None:
    """Release a model from a GPU."""
    with client_of(ctx) as client:
        write_document(client.unload_model(name, gpu).to_dict(), form_of(ctx))


@structures.command("list")
def list_structures(ctx: typer.Context) -> None:
    """List the uploaded structures."""
    with client_of(ctx) as client:
        rows = [structure.to_dict() for structure in client.list_structures()]
    write_rows(rows, STRUCTURE_COLUMNS, form_of(ctx))


@structures.command()
def builtin(ctx: typer.Context) -> None:
    """List the structures that come with the server."""
    with client_of(ctx) as client:
        rows = [structure.to_dict() for structure in client.list_builtin_structures()]
    write_rows(rows, STRUCTURE_COLUMNS[1:], form_of(ctx))


@structures.command()
def upload(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="- reads paths from standard input.")],
) -> None:
    """Upload structure files; the same content again gets the same id."""
    with client_of(ctx) as client:
        rows = [client.upload_structure(Path(file)).to_dict() for file in words_or_stdin(files)]
    write_rows(rows, (*STRUCTURE_COLUMNS, "warnings"), form_of(ctx))


@structures.command("show")
def show_structure(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="ID|NAME")]) -> None:
    """Show what was parsed from an upload, or a built-in."""
    with client_of(ctx) as client:
        structure = client.get_structure(
            UploadedId(name) if name.startswith("struct_") else BuiltinName(name)
        )
    write_document(structure.to_dict(), form_of(ctx))


@system.command()
def status(ctx: typer.Context) -> None:
    """Show health, GPUs and queue together."""
    with client_of(ctx) as client:
        write_document(client.get_system_status().to_dict(), form_of(ctx))


@system.command()
def gpus(ctx: typer.Context) -> None:
    """Show the state of each GPU."""
    with client_of(ctx) as client:
        rows = client.list_gpus()
    write_rows(rows, list(rows[0]) if rows else ("gpu_id",), form_of(ctx))


@system.command()
def queue(ctx: typer.Context) -> None:
    """Show the counts of the task queue."""
    with client_of(ctx) as client:
        write_document(client.get_queue(), form_of(ctx))


@system.command()
def health(ctx: typer.Context) -> None:
    """Show the health of the service; exit code 7 when it is not ok."""
    with client_of(ctx) as client:
        document = client.get_health()
    write_document(document, form_of(ctx))
    if document.get("status") != "ok":
        raise typer.Exit(ExitCode.SERVER)
