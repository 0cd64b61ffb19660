from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from api_gateway.keys.__main__ import main, rate
from api_gateway.keys.service import ensure_admin_key
from tests.fixtures.gateway import Gateway

Cli = Callable[..., tuple[int, str]]


@pytest.fixture
def cli(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.setenv("MOFSIM_DATABASE__URL", gateway.settings.database.url.get_secret_value())

    def run(*arguments: str) -> tuple[int, str]:
        return main(["--home", str(gateway.settings.home), *arguments]), capsys.readouterr().out

    return run


def status(gateway: Gateway, key: str, method: str = "GET") -> int:
    client = gateway.client(None, headers={"X-API-Key": key})
    return client.request(method, "/tasks/task_x").status_code


def test_a_made_key_works_within_its_scopes_and_is_shown_once(gateway: Gateway, cli: Cli) -> None:
    code, out = cli("create", "alice", "--scope", "read", "--rate", "600/min", "--expires", "90d")
    assert code == 0
    key = out.strip()
    assert (status(gateway, key), status(gateway, key, "DELETE")) == (404, 403)
    assert gateway.client(None, headers={"X-API-Key": key}).get("/tasks").headers["RateLimit-Limit"] == "600"
    _, listed = cli("list")
    assert key.split("_", 2)[2] not in listed
    (row,) = [row for row in map(json.loads, listed.splitlines()) if row["name"] == "alice"]
    assert (row["scopes"], row["rate_per_minute"], row["revoked_at"]) == (["read"], 600, None)
    assert row["expires_at"]


def test_a_name_is_given_once_and_a_key_revoked_once(cli: Cli) -> None:
    assert cli("create", "carol")[0] == 0
    assert cli("create", "carol")[0] == 1
    assert cli("revoke", "carol")[0] == 0
    assert cli("revoke", "carol")[0] == 1
    (row,) = [row for row in map(json.loads, cli("list")[1].splitlines()) if row["name"] == "carol"]
    assert row["revoked_at"]


@pytest.mark.parametrize(
    "wrong",
    [("--scope", "root"), ("--rate", "fast"), ("--rate", "1/hour"), ("--rate", "0"), ("--expires", "later")],
)
def test_a_wrong_argument_makes_no_key(cli: Cli, wrong: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        cli("create", "bob", *wrong)
    assert "bob" not in cli("list")[1]


@pytest.mark.parametrize(
    ("text", "per_minute"), [("600/min", 600), ("10/s", 600), ("6000/hour", 100), ("42", 42)]
)
def test_rates_are_read(text: str, per_minute: int) -> None:
    assert rate(text) == per_minute


def test_the_admin_key_is_made_once_private_and_works(gateway: Gateway) -> None:
    path = asyncio.run(ensure_admin_key(gateway.settings))
    assert path == gateway.settings.home / "admin.key"
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_text().strip()
    assert status(gateway, key, "DELETE") == 404
    assert asyncio.run(ensure_admin_key(gateway.settings)).read_text().strip() == key


def test_an_admin_key_that_the_database_does_not_know_is_replaced(gateway: Gateway) -> None:
    path = asyncio.run(ensure_admin_key(gateway.settings))
    path.write_text("mofsim_0123456789abcdef_of-another-database\n")
    asyncio.run(ensure_admin_key(gateway.settings))
    assert status(gateway, path.read_text().strip(), "DELETE") == 404
