"""Secrets at rest."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken

from api_gateway.database import SecretBox
from mofsim_settings import Settings


def test_a_secret_is_unreadable_without_the_key_and_comes_back_with_it(tmp_path: Path) -> None:
    box = SecretBox.from_settings(Settings(home=tmp_path))
    token = box.encrypt("whsec_秘密")
    assert b"whsec" not in token
    assert SecretBox.from_settings(Settings(home=tmp_path)).decrypt(token) == "whsec_秘密"
    with pytest.raises(InvalidToken):
        SecretBox(Fernet.generate_key()).decrypt(token)


def test_processes_that_start_together_agree_on_one_private_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with ThreadPoolExecutor(8) as threads:
        boxes = list(threads.map(lambda _: SecretBox.from_settings(settings), range(8)))
    token = boxes[0].encrypt("one")
    assert {box.decrypt(token) for box in boxes} == {"one"}
    key_file = tmp_path / "secret.key"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [key_file]
