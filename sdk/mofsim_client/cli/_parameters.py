"""`--param name=value` on the command line."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import Any

import typer

from mofsim_client.requests import Submission


def read_parameters(kind: type[Submission[Any]], assignments: list[str]) -> dict[str, Any]:
    """Read assignments: the value is JSON where it can be, else text; `nvt.steps=100` goes inside `nvt`.

    Raises
    ------
    typer.BadParameter
        For a word without `=` or a name the calculation does not take.
    """
    known = kind.parameter_names()
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        name, _, inner = path.strip().partition(".")
        if not equals:
            raise typer.BadParameter(f"{assignment!r} is not of the form name=value")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
            raise typer.BadParameter(f"{kind.task_type} takes no parameter {name!r}; {hint}")
        if inner:
            values.setdefault(name, {})[inner] = read_value(text)
        else:
            values[name] = read_value(text)
    return values


def read_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
