"""The pages as the tests see them: their blocks, in order, with the line each begins at."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
USER_PAGES = sorted(
    [
        *DOCS.glob("*.md"),
        *(DOCS / "how-to").glob("*.md"),
        *(DOCS / "reference").glob("*.md"),
        *(DOCS / "operations").glob("*.md"),
    ]
)
TRANSLATIONS = {page: DOCS / page.relative_to(DOCS / "zh") for page in sorted((DOCS / "zh").rglob("*.md"))}
"""Chinese pages with the English ones they translate."""
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: `python` and `sh` are run, `console` is only checked, others are data."""

    page: Path
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, those in tabs and lists too."""
    markdown = page.read_text()
    for match in FENCE.finditer(markdown):
        line = markdown.count("\n", 0, match.start()) + 2
        yield Block(page, line, match[2], textwrap.dedent(match[3]))


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))
