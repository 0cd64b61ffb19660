"""Results over their life: in use, compressed, near their end, cleared away; always through REST."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx

from deployments.maintenance.data_care import care
from mof_benchmark.identifiers import new_id
from tests.api_gateway.alerts.world import wait_for
from tests.api_gateway.rest import data_of, error_of, submit
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway

CONTENT = b"frame of a trajectory\n" * 5000


def completed(client: httpx.Client, sql: Sql, gateway: Gateway, *, age_days: int) -> tuple[str, str]:
    """A task that ended so many days ago, with a trajectory; its identifier and the file's."""
    task_id, file_id = submit(client), new_id("file")
    sql.bind(task_id)
    sql.start(task_id)
    path = f"results/{task_id}/1/trajectory.traj"
    stored = gateway.settings.storage_root / path
    stored.parent.mkdir(parents=True)
    stored.write_bytes(CONTENT)
    document: dict[str, Any] = {
        "file_id": file_id,
        "role": "trajectory",
        "path": path,
        "media_type": "application/octet-stream",
        "size_bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    sql.call("attempt_result", task_id, 1, {"converged": True, "output_files": []}, [document])
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)
    for table, column in (("task_results", "kept_from"), ("files", "created_at")):
        sql.run(
            f"UPDATE {table} SET {column} = now() - make_interval(days => %s) WHERE task_id = %s",  # noqa: S608
            age_days,
            task_id,
        )
    return task_id, file_id


def test_an_old_trajectory_is_compressed_and_served_as_before(
    client: httpx.Client, sql: Sql, gateway: Gateway
) -> None:
    task_id, file_id = completed(client, sql, gateway, age_days=31)
    young, _ = completed(client, sql, gateway, age_days=29)
    care(gateway.settings)
    folder = gateway.settings.storage_root / "results"
    assert [file.name for file in (folder / task_id / "1").iterdir()] == ["trajectory.traj.gz"]
    assert [file.name for file in (folder / young / "1").iterdir()] == ["trajectory.traj"]

    whole = client.get(f"/files/{file_id}")
    assert whole.content == CONTENT
    assert whole.headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    part = client.get(f"/files/{file_id}", headers={"Range": "bytes=10-29"})
    assert (part.status_code, part.content) == (206, CONTENT[10:30])
    totals = data_of(client.get("/system/storage"))
    assert totals["saved_bytes"] > 0.9 * len(CONTENT)
    assert totals["disk_free_bytes"] > 0


def test_a_compression_that_was_cut_off_is_done_again(
    client: httpx.Client, sql: Sql, gateway: Gateway
) -> None:
    task_id, file_id = completed(client, sql, gateway, age_days=40)
    folder = gateway.settings.storage_root / "results" / task_id / "1"
    (folder / "trajectory.traj.gz").write_bytes(b"half of it")
    care(gateway.settings)
    care(gateway.settings)
    assert client.get(f"/files/{file_id}").content == CONTENT


def test_a_result_goes_when_its_time_is_over_and_its_task_stays(
    client: httpx.Client, sql: Sql, gateway: Gateway
) -> None:
    task_id, file_id = completed(client, sql, gateway, age_days=181)
    kept, _ = completed(client, sql, gateway, age_days=179)
    due = data_of(client.get("/system/storage/due"))
    assert task_id in due["tasks"]
    assert kept not in due["tasks"]
    assert due["to_clear"]["bytes"] >= len(CONTENT)
    assert data_of(client.get("/system/storage"))["expiring_soon"] >= 1

    care(gateway.settings)
    error_of(client.get(f"/tasks/{task_id}/result"), 410, 30018)
    error_of(client.get(f"/files/{file_id}"), 410, 30018)
    assert data_of(client.get(f"/tasks/{task_id}"))["status"] == "COMPLETED"
    assert not (gateway.settings.storage_root / "results" / task_id).exists()
    assert data_of(client.get(f"/tasks/{kept}/result"))["result"]["converged"] is True
    assert data_of(client.get("/system/storage/due"))["tasks"] == []


def test_reading_a_result_or_a_file_of_it_keeps_it_longer(
    client: httpx.Client, sql: Sql, gateway: Gateway
) -> None:
    by_result, _ = completed(client, sql, gateway, age_days=179)
    by_file, file_id = completed(client, sql, gateway, age_days=179)
    client.get(f"/tasks/{by_result}/result")
    client.get(f"/files/{file_id}")
    for task_id in (by_result, by_file):
        row = sql.row("SELECT now() - kept_from AS unused FROM task_results WHERE task_id = %s", task_id)
        assert row["unused"].days == 0


def test_a_clearing_that_was_cut_off_leaves_no_file_behind(
    client: httpx.Client, sql: Sql, gateway: Gateway
) -> None:
    task_id, _ = completed(client, sql, gateway, age_days=200)
    # The result is out of the database; then the machine went down.
    assert sql.call("result_clear", task_id, 180) is True
    assert (gateway.settings.storage_root / "results" / task_id).exists()
    care(gateway.settings)
    assert not (gateway.settings.storage_root / "results" / task_id).exists()


def test_what_is_near_its_end_is_an_alert(client: httpx.Client, sql: Sql, gateway: Gateway) -> None:
    # Prefect is away here, so the monitor tells of it itself.
    completed(client, sql, gateway, age_days=170)

    def expiring() -> list[dict[str, Any]]:
        found = data_of(client.get("/system/alerts/active", params={"page_size": 100}))["items"]
        return [one for one in found if one["type"] == "results_expiring"]

    (alert,) = wait_for(expiring, "the alert")
    assert alert["details"]["results"] >= 1
