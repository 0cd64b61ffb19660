"""What all commands share: the home option, the two consoles, the way to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from mofsim_settings import load_settings

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder that holds everything the stack writes (MOFSIM_HOME, ~/.mofsim)."),
]
console = Console()
errors = Console(stderr=True)


def home_of(option: Path | None) -> Path:
    return load_settings(option).home.expanduser().absolute()


def fail(message: str) -> NoReturn:
    errors.print(f"[bold red]Error:[/] {message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
