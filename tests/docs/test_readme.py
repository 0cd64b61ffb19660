"""The README's commands run as they stand, and the Chinese texts have the same ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.stack.ports import free_ports
from tests.docs.pages import ROOT, TRANSLATIONS, Block, blocks, name
from tests.docs.running import PRINTED_ADDRESS, Reader
from tests.stack.running import Home, new_home

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"


def commands(page: Path) -> list[str]:
    """The blocks of a page without their comments, which are in its language."""
    return [re.sub(r" *#.*$", "", block.text, flags=re.MULTILINE) for block in blocks(page)]


@pytest.mark.parametrize(("chinese", "english"), [(CHINESE, ENGLISH), *TRANSLATIONS.items()], ids=str)
def test_a_chinese_page_has_the_commands_and_the_parts_of_the_english_one(
    chinese: Path, english: Path
) -> None:
    assert commands(chinese) == commands(english)
    for kind in (r"^#{1,3} ", r"^\|", r"^(\d+\.|-) ", r"^<!-- "):
        there, here = (len(re.findall(kind, page.read_text(), re.MULTILINE)) for page in (chinese, english))
        assert there == here, (name(chinese), kind)


@pytest.mark.stack
def test_the_readme_starts_uses_and_stops_a_stack_of_its_own() -> None:
    run_it, from_python = (block for block in blocks(ENGLISH) if block.language in ("sh", "python"))
    (port,) = free_ports(1)
    with new_home() as short:
        reader = Reader(short.folder, None, PRINTED_ADDRESS)
        reader.environment["MOFSIM_GATEWAY__PORT"] = str(port)
        own = Home(short.folder / ".mofsim")
        start, stop, rest = run_it.text.partition("./mofsim down")
        try:
            reader.run(part(run_it, start))
            reader.run(from_python)
            assert (short.folder / "results" / "result.json").is_file()
            reader.run(part(run_it, stop + rest))
        finally:
            assert own.mofsim("down", "--now").returncode == 0
        assert own.processes() == []


def part(block: Block, text: str) -> Block:
    return replace(block, text=text)
