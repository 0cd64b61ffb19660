"""Where settings come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from mofsim_settings import load_settings


def test_a_home_given_by_an_argument_beats_the_environment_s_and_so_do_the_files_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, language in (("given", "zh"), ("environment", "en")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mofsim.toml").write_text(f'[gateway]\nlanguage = "{language}"\n')
    monkeypatch.setenv("MOFSIM_HOME", str(tmp_path / "environment"))

    assert load_settings(tmp_path / "given").gateway.language == "zh"
    assert load_settings().gateway.language == "en"
