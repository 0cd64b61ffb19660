"""The site builds without a warning and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs.generated.hook import MARK, pieces
from mofsim_settings import Settings
from tests.docs.pages import DOCS, ROOT

LOADED_BY_LINK = ("stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest")
IN_STYLES = re.compile(r"url\(\s*['\"]?(https?:|//)|@import")


class Loads(HTMLParser):
    """Collects the addresses that a browser fetches by itself, and the classes it acts on."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.classes.update(given.get("class", "").split())
        self.addresses += [given[name] for name in ("src", "srcset", "poster", "data") if name in given]
        if tag == "link" and set(given.get("rel", "").split()) & set(LOADED_BY_LINK):
            self.addresses.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_none_is_left_out(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}
    assert not list(site.rglob("*.py"))


def test_no_page_and_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    foreign = []
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text())
        foreign += [f"{page.name}: {one}" for one in loads.addresses if re.match(r"(https?:)?//", one)]
        # The theme's script would fetch the program that draws these.
        assert not loads.classes & {"mermaid", "arithmatex"}, page
    foreign += [str(style) for style in site.rglob("*.css") if IN_STYLES.search(style.read_text())]
    assert foreign == []


def test_every_setting_stands_in_the_reference_with_its_variable(site: Path) -> None:
    text = (site / "settings.html").read_text()
    for section, values in Settings().model_dump().items():
        for setting in values if isinstance(values, dict) else ():
            assert f"MOFSIM_{section}__{setting}".upper() in text


def test_everything_that_is_generated_is_shown_somewhere() -> None:
    wanted = {name for page in DOCS.rglob("*.md") for name in MARK.findall(page.read_text())}
    assert wanted == set(pieces())


def test_the_reference_shows_the_client_s_calls_as_they_are_called(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "reference" / "client.html").read_text())
    assert re.search(r"list_models\(\)\s*-&gt;\s*list\[ModelInfo\]", text)
    assert "Op[" not in text
    assert "Flow[" not in text
