"""Rendering: the same rows or document as a table, JSON, YAML or CSV, on standard output."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import yaml  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200
"""Rich would fold tables at 80 columns when the output is no terminal."""


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    yaml = "yaml"
    csv = "csv"


def console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def write_rows(rows: Iterable[dict[str, Any]], columns: Sequence[str], form: Format) -> None:
    """Write a list; table and CSV show `columns`, JSON and YAML everything."""
    rows = list(rows)
    match form:
        case Format.table:
            table = Table(*columns, box=None, pad_edge=False, header_style="bold")
            for row in rows:
                table.add_row(*(cell(row.get(column)) for column in columns))
            console().print(table)
        case Format.csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([plain(row.get(column)) for column in columns] for row in rows)
        case _:
            _write_tree(rows, form)


def write_document(document: dict[str, Any], form: Format) -> None:
    """Write one document; the table names one field a line and shortens long lists."""
    match form:
        case Format.table:
            table = Table("", "", box=None, show_header=False, pad_edge=False)
            for name, value in document.items():
                if value not in (None, [], {}):
                    table.add_row(f"[bold]{name}[/bold]", cell(value))
            console().print(table)
        case Format.csv:
            write_rows([document], list(document), form)
        case _:
            _write_tree(document, form)


def _write_tree(tree: Any, form: Format) -> None:
    if form is Format.json:
        json.dump(tree, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
    else:
        yaml.safe_dump(tree, sys.stdout, allow_unicode=True, sort_keys=False)


def cell(value: Any) -> str:
    """A value for a person: rounded, and a long list as its length."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}" if abs(value) < 1e4 else f"{value:.3f}"
        case list() | tuple() if len(value) > 8 or any(isinstance(item, list | dict) for item in value):
            return f"[{len(value)} values]"
        case list() | tuple():
            return ", ".join(cell(item) for item in value)
        case dict():
            return ", ".join(f"{name} {cell(item)}" for name, item in value.items() if item is not None)
    return str(value).replace("[", r"\[")


def plain(value: Any) -> Any:
    """A value for a spreadsheet: numbers unrounded, anything nested as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
