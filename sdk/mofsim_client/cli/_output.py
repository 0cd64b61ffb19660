"""Rendering: the same rows or document as a table, JSON, YAML or CSV, on standard output."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import yaml  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from mofsim_client._display import brief

PIPE_WIDTH = 200
"""Rich would fold tables at 80 columns when the output is no terminal."""


WATCH_SECONDS = 2.0


class Format(StrEnum):
    """How results are written."""

    table = "table"
    json = "json"
    yaml = "yaml"
    csv = "csv"


def console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def repeatedly(watch: bool) -> Iterator[None]:
    """Once, or again and again: on a terminal each time at the top of an empty screen."""
    yield
    while watch:
        time.sleep(WATCH_SECONDS)
        console().clear()
        yield


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
    """A value for a person, which is no markup."""
    return brief(value).replace("[", r"\[")


def plain(value: Any) -> Any:
    """A value for a spreadsheet: numbers unrounded, anything nested as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
