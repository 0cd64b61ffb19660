from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from mof_benchmark.identifiers import new_id
from tests.api_gateway.rest import error_of, submit
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def file_id(client: httpx.Client, gateway: Gateway, sql: Sql) -> str:
    task_id = submit(client)
    path = Path("results") / task_id / "1" / "optimized.cif"
    (gateway.settings.storage_root / path).parent.mkdir(parents=True)
    (gateway.settings.storage_root / path).write_bytes(CONTENT)
    return add_file(sql, task_id, str(path))


def add_file(sql: Sql, task_id: str, path: str) -> str:
    file_id = new_id("file")
    sql.run(
        "INSERT INTO files (id, task_id, attempt, role, path, media_type, size_bytes, sha256)"
        " VALUES (%s, %s, 1, 'optimized_structure', %s, 'chemical/x-cif', %s, %s)",
        file_id, task_id, path, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip
    return file_id


def test_a_file_is_served_whole(client: httpx.Client, file_id: str) -> None:
    response = client.get(f"/files/{file_id}")
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["Content-Type"] == "chemical/x-cif"
    assert response.headers["Content-Disposition"] == 'attachment; filename="optimized.cif"'
    assert response.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("header", "expected"),
    [("bytes=0-9", CONTENT[:10]), ("bytes=100-", CONTENT[100:]), ("bytes=-7", CONTENT[-7:])],
)
def test_a_range_is_served_in_part(client: httpx.Client, file_id: str, header: str, expected: bytes) -> None:
    response = client.get(f"/files/{file_id}", headers={"Range": header})
    assert (response.status_code, response.content) == (206, expected)
    assert response.headers["Content-Range"].endswith(f"/{len(CONTENT)}")


def test_a_range_beyond_the_end_is_refused_with_the_size_in_both_languages(
    client: httpx.Client, file_id: str
) -> None:
    headers = {"Range": "bytes=99999-", "Accept-Language": "zh"}
    response = client.get(f"/files/{file_id}", headers=headers)
    error = error_of(response, 416, 40002)
    assert (response.headers["Content-Range"], error["field"]) == (f"bytes */{len(CONTENT)}", "Range")
    assert response.json()["message"] == "参数无效"
    assert "ETag" not in response.headers


def test_a_range_that_ends_before_it_begins_is_40002(client: httpx.Client, file_id: str) -> None:
    response = client.get(f"/files/{file_id}", headers={"Range": "bytes=9-5"})
    assert error_of(response, 422, 40002)["field"] == "Range"


def test_a_known_etag_is_304(client: httpx.Client, file_id: str) -> None:
    etag = client.get(f"/files/{file_id}").headers["ETag"]
    response = client.get(f"/files/{file_id}", headers={"If-None-Match": f'"other", {etag}'})
    assert (response.status_code, response.content) == (304, b"")


def test_a_range_of_another_version_is_served_whole(client: httpx.Client, file_id: str) -> None:
    response = client.get(f"/files/{file_id}", headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (response.status_code, response.content) == (200, CONTENT)


def test_an_unknown_file_is_30004(client: httpx.Client) -> None:
    error_of(client.get("/files/file_none"), 404, 30004)


def test_a_file_that_was_cleared_away_is_30018(client: httpx.Client, gateway: Gateway, sql: Sql) -> None:
    file_id = add_file(sql, submit(client), "results/gone/1/gone.cif")
    error_of(client.get(f"/files/{file_id}"), 410, 30018)


@pytest.mark.parametrize("path", ["../secret.key", "/etc/hostname", "results/../../secret.key"])
def test_nothing_outside_the_storage_root_is_served(
    client: httpx.Client, gateway: Gateway, sql: Sql, path: str
) -> None:
    assert (gateway.settings.home / "secret.key").exists()
    error_of(client.get(f"/files/{add_file(sql, submit(client), path)}"), 404, 30004)


def test_a_link_out_of_the_storage_root_is_not_followed(
    client: httpx.Client, gateway: Gateway, sql: Sql
) -> None:
    link = gateway.settings.storage_root / "results" / "link.key"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(gateway.settings.home / "secret.key")
    error_of(client.get(f"/files/{add_file(sql, submit(client), 'results/link.key')}"), 404, 30004)
