"""Making an environment: all of it, or nothing changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mof_benchmark.calculators.remote import install


def test_a_failed_installation_leaves_the_environment_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(install.PACKAGES, "broken", (str(tmp_path / "no-such-package.whl"),))
    before = tmp_path / "environments" / "broken" / "bin" / "python"
    before.parent.mkdir(parents=True)
    before.write_text("as it was")
    with pytest.raises(subprocess.CalledProcessError):
        install.install("broken", tmp_path)
    assert before.read_text() == "as it was"
