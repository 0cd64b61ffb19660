"""Every block of the pages for users and operators does what the page says: it runs on a real stack."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from mofsim_client import MOFSimClient

from tests.docs.pages import USER_PAGES, blocks, name
from tests.docs.running import Reader
from tests.stack.running import Home

pytestmark = pytest.mark.stack
RUN = ("python", "sh")
PAGES = [page for page in USER_PAGES if any(block.language in RUN for block in blocks(page))]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_blocks_of_a_page_run_in_their_order(page: Path, home: Home, client: MOFSimClient) -> None:
    # Not tmp_path, whose names come near the limit of a socket's path: a page restores a backup.
    with tempfile.TemporaryDirectory(prefix="mofsim-page-") as folder:
        reader = Reader(Path(folder), home.folder, client.connection.base_url)
        for block in blocks(page):
            if "curl " in block.text and shutil.which("curl") is None:
                pytest.skip("curl is not installed")
            if block.language in RUN:
                reader.run(block)
