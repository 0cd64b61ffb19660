"""Griffe extension: shows the client's operations as their callers see them.

Each is written once, as a generator (`Op[X]`, `Flow[X]`) that a descriptor turns into a method; a
reader wants the method: `X`, or an iterator of `X`.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

WRAPPED = re.compile(r"^(Op|Flow)\[(.*)\]$")
OWN_NAMES = {"TaskBase[Any]": "Task", "list[TaskBase[Any]]": "list[Task]"}


class Operations(griffe.Extension):
    """Gives every operation the return type of the method it becomes."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        wrapped = WRAPPED.match(str(func.returns or ""))
        if wrapped is None:
            return
        inner = OWN_NAMES.get(wrapped[2], wrapped[2])
        func.returns = inner if wrapped[1] == "Op" else f"Iterator[{inner}]"
        func.decorators = []
        func.labels.clear()
