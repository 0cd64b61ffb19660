"""The syntax of CIF: text to data blocks of names and values, each value with its line.

Follows the CIF 1.1 grammar (Hall, Allen & Brown, Acta Cryst. A47 (1991) 655; IUCr), and
is lenient in one way common in the wild: an unquoted value may hold blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from mof_benchmark.errors import InvalidFileError

_TOKEN = re.compile(r"""'(.*?)'(?=\s|$)|"(.*?)"(?=\s|$)|(\#.*)|(\S+)""")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\(\d+\))?")


@dataclass(frozen=True, slots=True)
class Value:
    """One value and the line it stands in (from 1)."""

    text: str
    line: int
    quoted: bool = False

    @property
    def given(self) -> bool:
        """False for CIF's placeholders `?` (unknown) and `.` (does not apply)."""
        return self.quoted or self.text not in ("?", ".")

    def number(self, meaning: str) -> float:
        """Read a number, its standard uncertainty in brackets dropped (`11.919(2)`)."""
        match = _NUMBER.fullmatch(self.text)
        if match is None:
            raise InvalidFileError(f"Line {self.line}: {meaning} is '{self.text[:40]}', not a number.")
        return float(match.group(1))


@dataclass
class Block:
    """One `data_` block: names in lower case with `_` for `.`, each with its column of values."""

    name: str
    columns: dict[str, list[Value]] = field(default_factory=dict)

    def column(self, *names: str) -> list[Value] | None:
        """The first of these names that the block has."""
        return next((self.columns[name] for name in names if name in self.columns), None)

    def value(self, *names: str) -> Value | None:
        """The single given value of the first of these names that has one."""
        for name in names:
            values = self.columns.get(name, [])
            if len(values) == 1 and values[0].given:
                return values[0]
        return None


def parse_blocks(text: str) -> list[Block]:
    """Split CIF text into its data blocks.

    Raises
    ------
    InvalidFileError
        When the text breaks the grammar, with the line.
    """
    blocks: list[Block] = []
    tokens = _Reader(text)
    while (token := tokens.next()) is not None:
        keyword = "" if token.quoted else token.text.lower()
        if keyword.startswith("data_"):
            blocks.append(Block(token.text[5:]))
        elif not blocks:
            raise InvalidFileError(
                f"Line {token.line}: '{token.text[:40]}' stands before the first 'data_' line of the CIF."
            )
        elif keyword == "loop_":
            _read_loop(tokens, blocks[-1], token.line)
        elif keyword.startswith("_"):
            _read_item(tokens, blocks[-1], token)
        elif keyword.startswith(("save_", "global_", "stop_")):
            continue
        else:
            raise InvalidFileError(f"Line {token.line}: the value '{token.text[:40]}' belongs to no name.")
    return blocks


def _read_item(tokens: _Reader, block: Block, name: Value) -> None:
    value = tokens.peek()
    if value is None or _is_structural(value):
        raise InvalidFileError(f"Line {name.line}: '{name.text[:60]}' has no value.")
    tokens.next()
    while (more := tokens.peek()) and more.line == value.line and not _is_structural(more):
        value = Value(f"{value.text} {more.text}".strip("'\""), value.line, True)
        tokens.next()
    _store(block, name, [value])


def _read_loop(tokens: _Reader, block: Block, line: int) -> None:
    names: list[Value] = []
    while (token := tokens.peek()) and not token.quoted and token.text.startswith("_"):
        names.append(token)
        tokens.next()
    values: list[Value] = []
    while (token := tokens.peek()) and not _is_structural(token):
        values.append(token)
        tokens.next()
    if not names:
        raise InvalidFileError(f"Line {line}: the loop has no names.")
    if len(values) % len(names):
        raise InvalidFileError(
            f"Line {line}: the loop has {len(names)} names but {len(values)} values, which does not divide "
            "into rows; a value is missing or a blank is unquoted."
        )
    for index, name in enumerate(names):
        _store(block, name, values[index :: len(names)])


def _store(block: Block, name: Value, values: list[Value]) -> None:
    key = name.text.lower().replace(".", "_")
    if key in block.columns:
        raise InvalidFileError(
            f"Line {name.line}: '{name.text[:60]}' is given twice in data block '{block.name[:40]}'."
        )
    block.columns[key] = values


def _is_structural(token: Value) -> bool:
    lowered = token.text.lower()
    return not token.quoted and (
        lowered.startswith(("_", "data_", "save_")) or lowered in ("loop_", "global_", "stop_")
    )


class _Reader:
    """Tokens with one of look-ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._ahead: Value | None = next(self._tokens, None)

    def peek(self) -> Value | None:
        return self._ahead

    def next(self) -> Value | None:
        token = self._ahead
        self._ahead = next(self._tokens, None)
        return token


def _tokens(text: str) -> Iterator[Value]:
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if not line.startswith(";"):
            for match in _TOKEN.finditer(line):
                single, double, comment, bare = match.groups()
                if comment is None:
                    quoted = bare is None
                    yield Value(bare or single or double or "", number, quoted)
            continue
        parts = [line[1:]]
        for _, inner in lines:
            if inner.startswith(";"):
                break
            parts.append(inner)
        else:
            raise InvalidFileError(f"Line {number}: the text field that starts here never ends (';').")
        yield Value("\n".join(parts).strip(), number, True)
