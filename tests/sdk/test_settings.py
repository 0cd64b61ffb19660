"""Where the client looks for the server and the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from mofsim_client import Connection, MOFSimClient


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MOFSIM_BASE_URL", "MOFSIM_API_KEY", "MOFSIM_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def home_of_a_stack(folder: Path, host: str = "127.0.0.1", port: int = 8123) -> Path:
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "stack.json").write_text(f'{{"gateway": {{"host": "{host}", "port": {port}}}}}')
    (folder / "admin.key").write_text("msk_admin\n")
    return folder


def connection(**arguments: object) -> Connection:
    return MOFSimClient(**arguments).connection  # type: ignore[arg-type]


def where(**arguments: object) -> tuple[str, str | None]:
    found = connection(**arguments)
    return found.base_url, found.api_key


def test_without_anything_the_default_port_of_this_machine_is_tried() -> None:
    assert where() == ("http://127.0.0.1:8000", None)


def test_the_running_stack_of_the_default_home_is_found(tmp_path: Path) -> None:
    home_of_a_stack(tmp_path / ".mofsim")
    assert where() == ("http://127.0.0.1:8123", "msk_admin")


def test_the_environment_beats_the_home_and_arguments_beat_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home_of_a_stack(tmp_path / ".mofsim")
    monkeypatch.setenv("MOFSIM_BASE_URL", "http://server:9000/")
    monkeypatch.setenv("MOFSIM_API_KEY", "msk_environment")
    assert where() == ("http://server:9000", "msk_environment")
    assert where(base_url="http://other/api/v1", api_key="msk_mine") == ("http://other", "msk_mine")


def test_a_home_given_by_hand_beats_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOFSIM_BASE_URL", "http://server:9000")
    monkeypatch.setenv("MOFSIM_API_KEY", "msk_environment")
    home = home_of_a_stack(tmp_path / "other")
    assert where(home=home) == ("http://127.0.0.1:8123", "msk_admin")


def test_mofsim_home_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOFSIM_HOME", str(home_of_a_stack(tmp_path / "elsewhere", port=8200)))
    assert where() == ("http://127.0.0.1:8200", "msk_admin")


def test_the_homes_key_is_never_sent_to_another_server(tmp_path: Path) -> None:
    home_of_a_stack(tmp_path / ".mofsim")
    assert where(base_url="http://stranger.example") == ("http://stranger.example", None)


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::1", "[::1]")],  # noqa: S104
)
def test_an_address_to_listen_on_becomes_one_to_call(tmp_path: Path, host: str, reached: str) -> None:
    assert where(home=home_of_a_stack(tmp_path / "h", host))[0] == f"http://{reached}:8123"


def test_a_broken_stack_file_counts_as_no_stack(tmp_path: Path) -> None:
    (tmp_path / ".mofsim" / "run").mkdir(parents=True)
    (tmp_path / ".mofsim" / "run" / "stack.json").write_text("[1, 2")
    assert where() == ("http://127.0.0.1:8000", None)


def test_a_connection_does_not_show_its_key() -> None:
    assert "msk_secret" not in repr(connection(api_key="msk_secret"))
