"""The reference of every setting, from `mofsim_settings.py`."""

from __future__ import annotations

from docs.generated.tables import Schema, default, kind, limits, table
from mofsim_settings import DEFAULT_HOME, Settings

HEADS = ("setting", "variable", "type", "default", "meaning")


def reference() -> str:
    """A section for each branch of the tree: its settings with their environment variables."""
    schema = Settings.model_json_schema()
    roots, branches = [], []
    for name, field in schema["properties"].items():
        if "$ref" not in field:
            roots.append(_row((name,), field))
            continue
        section = schema["$defs"][field["$ref"].rpartition("/")[2]]
        rows = [_row((name, setting), inner) for setting, inner in section["properties"].items()]
        branches.append(f"## `[{name}]`\n\n{section['description']}\n\n{table(HEADS, rows)}")
    return "\n\n".join([table(HEADS, roots), *branches])


def _row(path: tuple[str, ...], field: Schema) -> tuple[str, ...]:
    variable = "MOFSIM_" + "__".join(path).upper()
    value = default(field).replace(str(DEFAULT_HOME), "~/.mofsim")
    meaning = " ".join(part for part in (field.get("description", ""), _bracketed(limits(field))) if part)
    return f"`{path[-1]}`", f"`{variable}`", kind(field), value, meaning


def _bracketed(text: str) -> str:
    return f"({text})" if text else ""
