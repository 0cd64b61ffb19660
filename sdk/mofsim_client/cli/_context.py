"""What every command needs: the client and the form of the output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from mofsim_client import MOFSimClient, MOFSimError
from mofsim_client.cli._exit_codes import ExitCode, exit_code
from mofsim_client.cli._output import Format, console

GLOBAL_OPTIONS = ("--home", "--url", "--output", "-o", "--language")


@dataclass(frozen=True)
class Context:
    """Options given before or after the command's name."""

    home: str | None
    url: str | None
    language: str
    form: Format


class RootGroup(TyperGroup):
    """Takes the global options anywhere on the line and turns errors into exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoist(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MOFSimError as error:
            console(stderr=True).print(f"[red]error:[/red] {str(error).replace('[', chr(92) + '[')}")
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def hoist(args: list[str]) -> list[str]:
    """Move the global options to the front, so that they may stand after the command too."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            return [*front, *rest, "--", *words]
        name, _, value = word.partition("=")
        if name not in GLOBAL_OPTIONS:
            rest.append(word)
        elif value:
            front.append(word)
        else:
            front += [word, *([following] if (following := next(words, None)) is not None else [])]
    return [*front, *rest]


def form_of(ctx: typer.Context) -> Format:
    """The output form asked for."""
    return context_of(ctx).form


@contextmanager
def client_of(ctx: typer.Context) -> Iterator[MOFSimClient]:
    """A client for the server the options name."""
    context = context_of(ctx)
    with MOFSimClient(context.url, home=context.home, language=context.language) as client:
        yield client


def context_of(ctx: typer.Context) -> Context:
    """The options of the whole line."""
    context: Context = ctx.find_root().obj
    return context


def words_or_stdin(words: list[str]) -> list[str]:
    """The arguments; `-` stands for the lines of standard input (empty ones and `#` left out)."""
    found: list[str] = []
    for word in words:
        if word == "-":
            lines = (line.strip() for line in sys.stdin)
            found += [line for line in lines if line and not line.startswith("#")]
        else:
            found.append(word)
    if not found:
        raise typer.BadParameter("standard input named nothing")
    return found
