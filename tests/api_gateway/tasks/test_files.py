"""The files of ended tasks, above all of those that have no result."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from deployments.maintenance.data_care import care
from tasks.files import left_files
from tests.api_gateway.rest import data_of, error_of, submit
from tests.api_gateway.tasks.test_tasks import complete, run
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway

HALF_A_FRAME = b"- of Ulm" + bytes(1000)


def end(sql: Sql, gateway: Gateway, task_id: str, status: str = "FAILED", *, age_days: int = 0) -> Path:
    """End a running task whose host died while it wrote a trajectory; answers its work folder."""
    folder = gateway.settings.storage_root / "results" / task_id / "1"
    (folder / "opt").mkdir(parents=True)
    (folder / "opt" / "trajectory.traj").write_bytes(HALF_A_FRAME)
    (folder / "nvt.checkpoint.npz").write_bytes(b"PK")
    (folder / ".nvt.partial.extxyz").write_bytes(b"half")
    files = left_files([folder], gateway.settings.storage_root)
    assert sql.call("attempt_files", task_id, 1, files) == "go"
    sql.run("UPDATE tasks SET status = %s WHERE id = %s", status, task_id)
    sql.run(
        "UPDATE files SET created_at = now() - make_interval(days => %s) WHERE task_id = %s",
        age_days,
        task_id,
    )
    return folder


@pytest.fixture
def task_id(client: httpx.Client, sql: Sql) -> str:
    """A running task."""
    task_id = submit(client)
    run(sql, task_id)
    return task_id


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "TIMEOUT"])
def test_a_task_without_a_result_lists_what_it_left_and_serves_it_as_it_is(
    client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str, status: str
) -> None:
    end(sql, gateway, task_id, status)
    address = data_of(client.get(f"/tasks/{task_id}"))["links"]["files"]
    listed = data_of(client.get(address.removeprefix("/api/v1")))
    files = {file["path"]: file for file in listed["items"]}
    assert {path: file["role"] for path, file in files.items()} == {
        "nvt.checkpoint.npz": "nvt_checkpoint",
        "opt/trajectory.traj": "trajectory",
    }
    trajectory = files["opt/trajectory.traj"]
    assert trajectory["size_bytes"] == len(HALF_A_FRAME)
    served = client.get(trajectory["url"].removeprefix("/api/v1"))
    assert served.content == HALF_A_FRAME
    assert served.headers["ETag"] == f'"{trajectory["sha256"]}"'
    assert data_of(client.get(f"/tasks/{task_id}/result"))["result"] is None


def test_the_list_comes_in_pages(client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str) -> None:
    end(sql, gateway, task_id)
    pages = [
        data_of(client.get(f"/tasks/{task_id}/files", params={"page": page, "page_size": 1}))
        for page in (1, 2)
    ]
    assert len({page["items"][0]["file_id"] for page in pages}) == 2
    assert pages[0]["pagination"]["total_items"] == 2
    error_of(client.get(f"/tasks/{task_id}/files", params={"page": 0}), 422, 40002)


def test_a_completed_task_lists_the_files_of_its_result(client: httpx.Client, sql: Sql, task_id: str) -> None:
    complete(sql, task_id)
    listed = data_of(client.get(f"/tasks/{task_id}/files"))["items"]
    output_files = data_of(client.get(f"/tasks/{task_id}/result"))["result"]["output_files"]
    assert {file["url"] for file in listed} == set(output_files.values())


def test_a_task_that_goes_on_is_not_asked_for_files(client: httpx.Client, task_id: str) -> None:
    error_of(client.get(f"/tasks/{task_id}/files"), 409, 50003)


def test_a_task_that_never_ran_has_no_files(client: httpx.Client) -> None:
    task_id = submit(client)
    client.post(f"/tasks/{task_id}/cancel")
    assert data_of(client.get(f"/tasks/{task_id}/files"))["items"] == []


def test_a_task_that_is_cancelled_before_its_next_attempt_lists_what_the_last_one_left(
    client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str
) -> None:
    end(sql, gateway, task_id, "RUNNING")
    sql.run("UPDATE tasks SET status = 'QUEUED', attempt = 2 WHERE id = %s", task_id)
    client.post(f"/tasks/{task_id}/cancel")
    assert len(data_of(client.get(f"/tasks/{task_id}/files"))["items"]) == 2


def test_deleting_the_task_deletes_its_files(
    client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str
) -> None:
    folder = end(sql, gateway, task_id)
    assert data_of(client.delete(f"/tasks/{task_id}"))["deleted"] is True
    assert not folder.exists()
    assert sql.rows("SELECT 1 FROM files WHERE task_id = %s", task_id) == []


def test_files_without_a_result_count_are_compressed_and_go_when_their_time_is_over(
    client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str
) -> None:
    before = data_of(client.get("/system/storage"))["result_files"]
    folder = end(sql, gateway, task_id, age_days=31)
    after = data_of(client.get("/system/storage"))["result_files"]
    assert after["count"] == before["count"] + 2
    assert after["bytes"] > before["bytes"]

    care(gateway.settings)
    assert (folder / "opt" / "trajectory.traj.gz").exists()
    listed = data_of(client.get(f"/tasks/{task_id}/files"))["items"]
    (trajectory,) = [file for file in listed if file["role"] == "trajectory"]
    assert client.get(f"/files/{trajectory['file_id']}").content == HALF_A_FRAME

    sql.run("UPDATE files SET created_at = now() - interval '181 days', used_at = NULL")
    assert task_id in data_of(client.get("/system/storage/due"))["tasks"]
    care(gateway.settings)
    assert not folder.exists()
    error_of(client.get(f"/tasks/{task_id}/files"), 410, 30018)
    error_of(client.get(f"/files/{trajectory['file_id']}"), 410, 30018)
    assert (
        data_of(client.get(f"/tasks/{task_id}/result"))["error"]
        == data_of(client.get(f"/tasks/{task_id}"))["error"]
    )


def test_reading_a_file_keeps_all_of_the_task_longer(
    client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str
) -> None:
    folder = end(sql, gateway, task_id, age_days=181)
    (first, _) = data_of(client.get(f"/tasks/{task_id}/files"))["items"]
    client.get(f"/files/{first['file_id']}")
    assert task_id not in data_of(client.get("/system/storage/due"))["tasks"]
    care(gateway.settings)
    assert folder.exists()


def test_what_the_next_attempt_may_go_on_from_is_left_alone(
    client: httpx.Client, sql: Sql, gateway: Gateway, task_id: str
) -> None:
    folder = end(sql, gateway, task_id, "RUNNING", age_days=181)
    sql.run("UPDATE tasks SET status = 'QUEUED', attempt = 2 WHERE id = %s", task_id)
    care(gateway.settings)
    assert (folder / "opt" / "trajectory.traj").read_bytes() == HALF_A_FRAME
