"""`models …`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mofsim_client import CustomModelInfo
from mofsim_client.cli._context import client_of, form_of
from mofsim_client.cli._exit_codes import ExitCode
from mofsim_client.cli._output import Format, console, write_document, write_rows
from mofsim_client.cli._progress import upload_progress

app = typer.Typer(
    help="The potentials, where they are loaded, and uploads of one's own.", no_args_is_help=True
)

ModelName = Annotated[str, typer.Argument(metavar="MODEL")]
ModelId = Annotated[str, typer.Argument(metavar="ID", help="model_… of an upload.")]
GpuId = Annotated[int, typer.Option("--gpu", help="GPU number.")]
Wait = Annotated[float, typer.Option("--timeout", help="Longest wait, s.")]


class Framework(StrEnum):
    """The packages an uploaded model may belong to."""

    mace = "mace"
    orb = "orb"
    sevennet = "sevennet"
    pytorch = "pytorch"


@app.command("list")
def list_models(ctx: typer.Context) -> None:
    """List the potentials, available or not."""
    with client_of(ctx) as client:
        rows = [model.to_dict() for model in client.list_models()]
    write_rows(rows, ("name", "framework", "with_d3", "available", "loaded_on", "reason"), form_of(ctx))


@app.command("show")
def show_model(
    ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="MODEL|ID", help="Name, or model_….")]
) -> None:
    """Show a potential's settings and state, or an upload with its validation."""
    with client_of(ctx) as client:
        if name.startswith("model_"):
            write_custom(client.get_custom_model(name), form_of(ctx))
        else:
            write_document(client.get_model(name).to_dict(), form_of(ctx))


@app.command("load")
def load_model(ctx: typer.Context, name: ModelName, gpu: GpuId = 0, timeout: Wait = 600.0) -> None:
    """Warm a model up on a GPU."""
    with client_of(ctx) as client:
        write_document(client.load_model(name, gpu, timeout=timeout).to_dict(), form_of(ctx))


@app.command("unload")
def unload_model(ctx: typer.Context, name: ModelName, gpu: GpuId = 0, timeout: Wait = 600.0) -> None:
    """Release a model from a GPU."""
    with client_of(ctx) as client:
        write_document(client.unload_model(name, gpu, timeout=timeout).to_dict(), form_of(ctx))


@app.command("upload")
def upload_model(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    name: Annotated[str, typer.Option("--name", "-n", help="Name by which tasks will ask for it.")],
    framework: Annotated[Framework, typer.Option("--framework", "-f")],
    d3: Annotated[bool, typer.Option("--d3/--no-d3", help="Add PBE-D3(BJ) by default.")] = True,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    config: Annotated[
        str, typer.Option(help='JSON of what the file does not say: {"precision": "float64"}.')
    ] = "{}",
    validate: Annotated[bool, typer.Option("--validate", help="Have it tried at once.")] = False,
) -> None:
    """Upload a model of one's own (needs a key with the scope admin)."""
    settings = _object(config)
    with client_of(ctx) as client:
        with upload_progress(file.name) as on_progress:
            model = client.upload_model(
                file,
                name,
                framework.value,
                with_d3=d3,
                description=description,
                config=settings,
                on_progress=on_progress,
            )
        if validate:
            model = client.validate_model(model.model_id)
    write_custom(model, form_of(ctx))
    _fail_if_rejected(model)


@app.command("custom")
def list_custom_models(ctx: typer.Context) -> None:
    """List the uploaded models."""
    with client_of(ctx) as client:
        rows = [model.to_dict() for model in client.list_custom_models()]
    write_rows(rows, ("model_id", "name", "framework", "status", "with_d3", "created_at"), form_of(ctx))


@app.command("validate")
def validate_model(ctx: typer.Context, model_id: ModelId, timeout: Wait = 1800.0) -> None:
    """Have an uploaded model tried; exit code 6 when it is rejected."""
    with client_of(ctx) as client:
        model = client.validate_model(model_id, timeout=timeout)
    write_custom(model, form_of(ctx))
    _fail_if_rejected(model)


@app.command("delete")
def delete_model(ctx: typer.Context, model_id: ModelId) -> None:
    """Delete an uploaded model."""
    with client_of(ctx) as client:
        client.delete_model(model_id)
    console(stderr=True).print(f"deleted {model_id}")


def write_custom(model: CustomModelInfo, form: Format) -> None:
    """Write an upload; for people, with a line for each check of its validation."""
    document = model.to_dict()
    if form is not Format.table or model.validation is None:
        write_document(document, form)
        return
    del document["validation"]
    write_document(document, form)
    if model.validation.error is not None:
        console().print(f"\n{model.validation.error.type}: {model.validation.error.detail}", markup=False)
    if model.validation.checks:
        console().print()
        checks = [check.to_dict() for check in model.validation.checks]
        write_rows(checks, ("name", "passed", "required", "value", "limit", "unit", "detail"), form)


def _fail_if_rejected(model: CustomModelInfo) -> None:
    if model.status == "rejected":
        raise typer.Exit(ExitCode.REFUSED)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--config is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("--config is not a JSON object")
    return value
