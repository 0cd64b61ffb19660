"""How documents look in a notebook: small HTML tables, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
MOST_ROWS = 60
_CELL = "text-align:left;padding:1px 10px 1px 0"
_BAR = "display:inline-block;height:8px;width:120px;background:#8884;border-radius:4px;overflow:hidden"
_STATE_COLOURS = {
    "RUNNING": "#2e9e4f",
    "COMPLETED": "#2e9e4f",
    "FAILED": "#d03b3b",
    "TIMEOUT": "#d03b3b",
    "CANCELLED": "#888888",
}


@runtime_checkable
class Tabular(Protocol):
    """Something that is a row of a table."""

    def _row(self) -> Mapping[str, Any]: ...


class Listing(list[T]):
    """A list that a notebook shows as a table.

    Examples
    --------
    >>> Listing(client.list_tasks(limit=10))  # doctest: +SKIP
    """

    def _repr_html_(self) -> str:
        rows = [row_of(item) for item in self[:MOST_ROWS]]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        columns = [name for name in columns if any(row.get(name) not in (None, [], {}) for row in rows)]
        more = f"<div>… {len(self) - MOST_ROWS} more</div>" if len(self) > MOST_ROWS else ""
        return html_table(columns, ([row.get(name) for name in columns] for row in rows)) + more


def row_of(item: Any) -> Mapping[str, Any]:
    return item._row() if isinstance(item, Tabular) else {"": item}


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html_value(value)}</td>' for value in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_document(
    title: str, fields: Mapping[str, Any], status: str = "", percentage: float | None = None
) -> str:
    """A title with a state and a bar, and one field a line."""
    colour = _STATE_COLOURS.get(status, "inherit")
    state = f' <span style="color:{colour}">{escape(status)}</span>' if status else ""
    bar = ""
    if percentage is not None:
        width = min(100.0, max(0.0, percentage))
        bar = (
            f' <span style="{_BAR}"><span style="display:block;height:8px;width:{width:.0f}%;'
            f'background:{colour}"></span></span> {width:.0f} %'
        )
    lines = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{html_value(value)}</td></tr>'
        for name, value in fields.items()
        if value not in (None, [], {}, "")
    )
    return f"<div><b>{escape(title)}</b>{state}{bar}</div><table>{lines}</table>"


def html_value(value: Any) -> str:
    return escape(brief(value))


def brief(value: Any) -> str:
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
            return ", ".join(brief(item) for item in value)
        case dict():
            return ", ".join(f"{name} {brief(item)}" for name, item in value.items() if item is not None)
    return str(value)
