"""Markdown tables, and the tables of a pydantic document by its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a cell may hold anything but line breaks."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def parameters(document: type[BaseModel]) -> str:
    """Every parameter with type, default, range and meaning; those of a nested document in a table below."""
    whole = document.model_json_schema()
    parts = [_parameters(whole)]
    for name, field in whole["properties"].items():
        nested = _nested(field, whole)
        if nested is not None:
            parts.append(f"Inside `{name}`: {_sentence(nested['description'])}\n\n{_parameters(nested)}")
    return "\n\n".join(parts)


def fields(document: type[BaseModel], *, without: Iterable[str] = ()) -> str:
    """Every field of a result with its meaning; those of a nested document in a table below."""
    whole = document.model_json_schema(mode="serialization")
    kept = {name: field for name, field in whole["properties"].items() if name not in set(without)}
    parts = [_fields(kept, whole)]
    for name, field in kept.items():
        nested = _nested(field, whole)
        if nested is not None and any("description" in inner for inner in nested["properties"].values()):
            parts.append(f"Inside `{name}`: {_sentence(nested['description'])}")
            parts.append(_fields(nested["properties"], whole))
    return "\n\n".join(parts)


def kind(field: Schema) -> str:
    """The type of a field in words."""
    if "enum" in field:
        return " · ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        return " or ".join(kind(one) for one in field["anyOf"])
    if "prefixItems" in field:
        return f"{len(field['prefixItems'])} × {kind(field['prefixItems'][0])}"
    if "$ref" in field:
        return "document"
    match field.get("type"):
        case "array":
            items = field.get("items", {})
            return "list" if "$ref" in items else f"list of {kind(items)}"
        case "object":
            return "map"
        case "string":
            return {"password": "secret", "path": "path"}.get(field.get("format", ""), "text")
        case "boolean":
            return "true/false"
        case other:
            return str(other or "any")


def default(field: Schema) -> str:
    """The default of a field as one writes it."""
    value = field.get("default")
    if value in ("", None):
        return "–"
    return f"`{json.dumps(value, ensure_ascii=False)}`" if not isinstance(value, str) else f"`{value}`"


def limits(field: Schema) -> str:
    """The range a number must lie in."""
    numbers = [one for one in [field, *field.get("anyOf", [])] if any(name in one for name in LIMITS)]
    return ", ".join(
        f"{sign} {one[name]:,}" for one in numbers for name, sign in LIMITS.items() if name in one
    )


def _parameters(schema: Schema) -> str:
    rows = (
        (f"`{name}`", kind(field), default(field), limits(field), field.get("description", ""))
        for name, field in schema["properties"].items()
    )
    return table(("parameter", "type", "default", "range", "meaning"), rows)


def _fields(properties: Schema, whole: Schema) -> str:
    rows = (
        (f"`{name}`", kind(field), field.get("description", "") or _described(field, whole))
        for name, field in properties.items()
    )
    return table(("field", "type", "meaning"), rows)


def _described(field: Schema, whole: Schema) -> str:
    nested = _nested(field, whole)
    return "" if nested is None else _sentence(nested["description"])


def _nested(field: Schema, whole: Schema) -> Schema | None:
    """The document a field holds, alone, in a list or as an alternative to null."""
    for one in (field, field.get("items", {}), *field.get("anyOf", ())):
        if "$ref" in one:
            nested: Schema = whole["$defs"][one["$ref"].rpartition("/")[2]]
            return nested
    return None


def _sentence(docstring: str) -> str:
    return " ".join(docstring.split())
