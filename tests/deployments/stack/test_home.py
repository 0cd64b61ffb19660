"""The folders of a home."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deployments.stack.errors import StackError
from deployments.stack.home import make_home
from mofsim_settings import Settings


def test_several_parts_may_start_in_one_home_at_once(tmp_path: Path) -> None:
    """As units and containers of one machine do."""
    for number in range(20):
        settings = Settings(home=tmp_path / str(number))
        with ThreadPoolExecutor(max_workers=8) as parts:
            for made in [parts.submit(make_home, settings) for _ in range(8)]:
                made.result()
        assert list(settings.run_dir.iterdir()) == []


def test_a_home_that_cannot_be_made_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    (tmp_path / "file").write_text("")
    settings = Settings(home=home, storage={"root": tmp_path / "file" / "storage"})
    with pytest.raises(StackError, match=str(home)):
        make_home(settings)
    assert not (tmp_path / "new").exists()
