"""MkDocs hook: a line `<!-- generated: NAME -->` of a page becomes what the code says (mkdocs.yml)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from docs.generated import commands, errors, settings, tables
from mof_benchmark.schemas import CALCULATIONS, CalculationResult

MARK = re.compile(r"^<!-- generated: ([\w -]+) -->$", re.MULTILINE)
DECISIONS = Path(__file__).resolve().parents[1] / "decisions"
SHARED = tuple(CalculationResult.model_fields)


@cache
def pieces() -> dict[str, Callable[[], str]]:
    """Every piece a page can ask for, by name."""
    found: dict[str, Callable[[], str]] = {
        "settings": settings.reference,
        "decisions": decisions,
        "error codes": errors.reference,
        "commands for users": commands.for_users,
        "commands for operators": commands.for_operators,
        "shared result": partial(tables.fields, CalculationResult),
    }
    for task_type, (parameters, result) in CALCULATIONS.items():
        found[f"{task_type} parameters"] = partial(tables.parameters, parameters)
        found[f"{task_type} result"] = partial(tables.fields, result, without=SHARED)
    return found


def decisions() -> str:
    """A line for each decision with its title."""
    files = sorted(DECISIONS.glob("0*.md"))
    return "\n".join(f"- [{file.read_text().splitlines()[0].lstrip('# ')}]({file.name})" for file in files)


def fill(markdown: str) -> str:
    """Put the pieces in a page's places.

    Raises
    ------
    KeyError
        For a name that there is no piece of.
    """
    return MARK.sub(lambda mark: pieces()[mark[1]](), markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for every page."""
    return fill(markdown)
