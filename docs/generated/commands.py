"""The reference of the command lines, from the Typer applications."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import typer
from mofsim_client.cli import app as client_app

from deployments.cli.app import app as operator_app
from docs.generated.tables import table

HIDDEN = ("help", "install_completion", "show_completion")
# Typer carries a Click of its own, whose classes have no public name.
Command = Any
Option = Any


def for_users() -> str:
    """The commands of `mofsim_client`."""
    return "\n\n".join(part for part in _document(typer.main.get_command(client_app)) if part)


def for_operators() -> str:
    """The commands of `deployments`."""
    return "\n\n".join(part for part in _document(typer.main.get_command(operator_app)) if part)


def tree(command: Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Every command that can be run, with the words that name it."""
    inner: dict[str, Command] = getattr(command, "commands", {})
    if not inner:
        yield words, command
    for name in sorted(inner):
        yield from tree(inner[name], (*words, name))


def _document(root: Command) -> Iterator[str]:
    yield _options(root)
    for words, command in tree(root):
        yield f"### {' '.join(words)}"
        yield _text(command.help)
        yield f"    ./mofsim {' '.join((*words, *_arguments(command)))}"
        yield _options(command)


def _arguments(command: Command) -> Iterator[str]:
    for one in command.params:
        if one.param_type_name == "argument":
            name = (one.metavar or one.name.upper()) + ("…" if one.nargs == -1 and not one.metavar else "")
            yield name if one.required else f"[{name}]"


def _options(command: Command) -> str:
    options = [one for one in command.params if one.param_type_name == "option" and one.name not in HIDDEN]
    if not options:
        return ""
    return table(("option", "default", "meaning"), (_row(option) for option in options))


def _row(option: Option) -> tuple[str, ...]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    annotation = option.type_descriptor.annotation
    values = ", ".join(annotation) if isinstance(annotation, type) and issubclass(annotation, StrEnum) else ""
    given = (
        "" if option.is_flag or option.default is None else getattr(option.default, "value", option.default)
    )
    meaning = " ".join(part for part in (_text(option.help), f"One of {values}." if values else "") if part)
    return names, f"`{given}`" if isinstance(given, str | int | float) and given != "" else "–", meaning


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
