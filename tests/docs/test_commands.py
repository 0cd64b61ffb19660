"""What the pages show without running it exists: commands, options, files, units, containers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from mofsim_client.cli import app as client_app

from deployments.cli.app import app as operator_app
from docs.generated.commands import tree
from tests.docs.pages import ROOT, USER_PAGES, Block, blocks, name

READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
LANGUAGES = {"python", "sh", "console", "json", "toml", "ini", "text", "sql"}
HANDED_ON = {"keys", "bench", "test", "docs", "models install", "prefect"}
"""Commands that hand their arguments to another program."""
MADE_BY_THE_READER = {"infra/docker/secrets"}
UNITS = {path.name for path in (ROOT / "infra" / "systemd").iterdir()}
SERVICES = set(yaml.safe_load((ROOT / "infra" / "docker" / "compose.yaml").read_text())["services"])
COMMANDS: dict[str, Any] = {
    " ".join(words): command
    for app in (client_app, operator_app)
    for words, command in tree(typer.main.get_command(app))
}
GLOBAL = {option for one in typer.main.get_command(client_app).params for option in one.opts}


def shell_lines(page: Path) -> list[tuple[Block, list[str]]]:
    """The commands of a page's shell blocks as words."""
    found = []
    for block in blocks(page):
        if block.language in ("sh", "console"):
            for line in block.text.replace("\\\n", " ").splitlines():
                try:
                    found.append((block, shlex.split(line, comments=True)))
                except ValueError:
                    # Part of a quotation of several lines.
                    continue
    return found


@pytest.mark.parametrize("page", [*READMES, *USER_PAGES], ids=name)
def test_blocks_are_of_a_kind_whose_content_is_run_or_checked(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", [*READMES, *USER_PAGES], ids=name)
def test_every_command_of_mofsim_exists_with_its_options(page: Path) -> None:
    for block, words in shell_lines(page):
        for position, word in enumerate(words):
            if word in ("./mofsim", "/opt/mofsim/mofsim"):
                check(block, words[position + 1 :])


def check(block: Block, words: list[str]) -> None:
    place = f"{block.page}:{block.line}: {' '.join(words)}"
    if words[:1] in (["--cpu"], ["--cuda"]):
        words = words[1:]
    if words == ["--help"]:
        return
    known = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), None)
    assert known is not None, place
    if known in HANDED_ON:
        return
    options = {option for one in COMMANDS[known].params for option in (*one.opts, *one.secondary_opts)}
    until = next((n for n, word in enumerate(words) if word in ("|", ">", "&&", ";")), len(words))
    for word in words[:until]:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in options | GLOBAL, place


@pytest.mark.parametrize("page", [*READMES, *USER_PAGES], ids=name)
def test_every_file_of_the_checkout_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    for path in re.findall(r"(?<![\w/.-])(?:infra|examples|requirements|deployments|docs)/[\w./@-]+", text):
        assert (ROOT / path.rstrip(".,")).exists() or path in MADE_BY_THE_READER, path


@pytest.mark.parametrize("page", USER_PAGES, ids=name)
def test_every_unit_and_every_container_that_is_named_exists(page: Path) -> None:
    for block, words in shell_lines(page):
        if words[:2] == ["sudo", "systemctl"] or words[:1] == ["systemctl"]:
            for unit in words:
                if unit.startswith("mofsim"):
                    known = re.sub(r"@[^.]*", "@", unit)
                    assert UNITS & {known, f"{known}.service"}, (block.page, block.line, unit)
        if words[:2] == ["docker", "compose"]:
            # What stands after the container of `exec` is a command in it.
            verb, *named = [word for word in words[2:] if re.fullmatch(r"[a-z]+(-\d)?", word)]
            assert set(named[:1] if verb == "exec" else named) <= SERVICES, (block.page, block.line)
