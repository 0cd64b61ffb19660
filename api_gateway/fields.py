"""Names a request may carry at a place, found in the type it is checked against."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models an annotation may stand for (through Annotated, unions and lists)."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _models(get_args(annotation)[0])
    elif origin in (Union, types.UnionType, list, tuple):
        for inner in get_args(annotation):
            yield from _models(inner)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def names_at(annotation: Any, loc: Sequence[int | str]) -> tuple[tuple[int | str, ...], list[str]]:
    """Follow `loc` into `annotation`.

    Returns
    -------
    plain
        `loc` without the steps that pydantic adds for the tag of a union, which no client wrote.
    known
        Names of the fields known where the last step of `loc` lies.
    """
    here = list(_models(annotation))
    plain: list[int | str] = list(loc[:1])
    known: list[str] = []
    for part in loc[1:]:
        known = sorted({name for model in here for name in model.model_fields})
        plain.append(part)
        if isinstance(part, int):
            continue
        fields = [model.model_fields[part] for model in here if part in model.model_fields]
        if fields:
            here = [inner for field in fields for inner in _models(field.annotation)]
            continue
        tagged = [model for model in here if _tag_of(model) == part]
        if tagged:
            here = tagged
            plain.pop()
    return tuple(plain), known


def _tag_of(model: type[BaseModel]) -> Any:
    """The literal that tells this member of a discriminated union from the others."""
    for name in ("task_type", "source"):
        field = model.model_fields.get(name)
        if field is not None and field.default is not None:
            return getattr(field.default, "value", field.default)
    return None
