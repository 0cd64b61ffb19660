"""`structures …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mofsim_client import BuiltinName, UploadedId
from mofsim_client.cli._context import client_of, form_of, words_or_stdin
from mofsim_client.cli._output import console, write_document, write_rows

app = typer.Typer(help="Uploaded and built-in structures.", no_args_is_help=True)

COLUMNS = ("file_id", "name", "formula", "n_atoms", "space_group", "density_g_cm3")


@app.command("list")
def list_structures(ctx: typer.Context) -> None:
    """List the uploaded structures."""
    with client_of(ctx) as client:
        rows = [structure.to_dict() for structure in client.list_structures()]
    write_rows(rows, COLUMNS, form_of(ctx))


@app.command()
def builtin(ctx: typer.Context) -> None:
    """List the structures that come with the server."""
    with client_of(ctx) as client:
        rows = [structure.to_dict() for structure in client.list_builtin_structures()]
    write_rows(rows, COLUMNS[1:], form_of(ctx))


@app.command()
def upload(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="- reads paths from standard input.")],
) -> None:
    """Upload structure files; the same content again gets the same id."""
    with client_of(ctx) as client:
        rows = [client.upload_structure(Path(file)).to_dict() for file in words_or_stdin(files)]
    write_rows(rows, (*COLUMNS, "warnings"), form_of(ctx))


@app.command()
def preview(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="- reads paths from standard input.")],
) -> None:
    """Show what the server reads from files, and keep nothing of them."""
    with client_of(ctx) as client:
        rows = [client.preview_structure(Path(file)).to_dict() for file in words_or_stdin(files)]
    write_rows(rows, (*COLUMNS[1:], "warnings"), form_of(ctx))


@app.command("show")
def show_structure(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="ID|NAME")]) -> None:
    """Show what was parsed from an upload, or a built-in."""
    with client_of(ctx) as client:
        structure = client.get_structure(
            UploadedId(name) if name.startswith("struct_") else BuiltinName(name)
        )
    write_document(structure.to_dict(), form_of(ctx))


@app.command("delete")
def delete_structures(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID…", help="- reads ids from standard input.")],
) -> None:
    """Delete uploaded structures that no unfinished task needs (scope admin)."""
    with client_of(ctx) as client:
        for file_id in words_or_stdin(ids):
            client.delete_structure(file_id)
            console(stderr=True).print(f"deleted {file_id}")
