from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mof_benchmark.identifiers import new_id
from tests.api_gateway.rest import builtin, data_of, error_of, submit, upload, xyz
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway


def run(sql: Sql, task_id: str, gpu_id: int = 0) -> None:
    """Bring a queued task to RUNNING, as the engine does."""
    sql.bind(task_id, gpu_id)
    sql.start(task_id)


def complete(sql: Sql, task_id: str, **result: object) -> None:
    """End a running task with a result, as its flow and the engine do."""
    document = {"converged": True, "energy_eV": -1.5, "output_files": [], "metrics": {"force_evaluations": 1}}
    files = [
        {
            "file_id": new_id("file"), "role": "trajectory", "path": f"results/{task_id}/1/t.{suffix}",
            "media_type": "x/y", "size_bytes": 1, "sha256": "0" * 64,
        }
        for suffix in ("traj", "extxyz")
    ]  # fmt: skip
    assert sql.call("attempt_result", task_id, 1, document | result, files) == "go"
    sql.run("UPDATE tasks SET status = 'COMPLETED' WHERE id = %s", task_id)


def fail(sql: Sql, task_id: str) -> None:
    sql.run(
        "UPDATE tasks SET status = 'FAILED', error = "
        """'{"code": 50007, "type": "OutOfMemoryError", "detail": "out", "stage": "optimize"}' """
        "WHERE id = %s",
        task_id,
    )


def test_a_queued_task_shows_its_place_in_the_queue(client: httpx.Client) -> None:
    first, second = submit(client, options={"priority": "LOW"}), submit(client, options={"priority": "LOW"})
    views = [data_of(client.get(f"/tasks/{task_id}")) for task_id in (first, second)]
    assert [view["status"] for view in views] == ["QUEUED", "QUEUED"]
    assert views[1]["position"] == views[0]["position"] + 1
    assert views[0]["history"][0]["status"] == "QUEUED"
    assert views[0]["gpu_id"] is None


def test_a_running_task_shows_gpu_progress_history_and_its_flow_run(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(client)
    run(sql, task_id, gpu_id=3)
    flow_run = uuid.uuid4()
    sql.run(
        "UPDATE task_attempts SET flow_run_id = %s, reasons = '{\"warm\": true}' WHERE task_id = %s",
        flow_run, task_id,
    )  # fmt: skip
    progress = {"stage": "optimize", "current_step": 5, "total_steps": 10, "percentage": 50.0, "values": {}}
    sql.call("attempt_report", task_id, 1, progress, [])
    view = data_of(client.get(f"/tasks/{task_id}"))
    assert (view["status"], view["gpu_id"], view["attempt"]) == ("RUNNING", 3, 1)
    assert view["progress"] == progress
    assert view["position"] is None
    assert view["started_at"].endswith("Z")
    assert [move["status"] for move in view["history"]] == ["QUEUED", "ASSIGNED", "RUNNING"]
    assert view["links"]["prefect_ui"] == f"http://prefect.example/runs/flow-run/{flow_run}"
    assert view["placement"] == {"warm": True}


def test_a_result_has_the_shape_of_the_requirements(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(client, structure=builtin())
    error_of(client.get(f"/tasks/{task_id}/result"), 409, 50003)
    run(sql, task_id)
    error_of(client.get(f"/tasks/{task_id}/result"), 409, 50003)
    complete(sql, task_id)
    result = data_of(client.get(f"/tasks/{task_id}/result"))
    assert set(result) == {
        "task_id", "task_type", "status", "model", "structure_name", "created_at", "started_at",
        "completed_at", "duration_seconds", "gpu_id", "result", "metrics", "error",
    }  # fmt: skip
    assert (result["status"], result["structure_name"], result["gpu_id"]) == ("COMPLETED", "Mg-MOF-74", 0)
    assert result["duration_seconds"] >= 0
    assert (result["result"]["converged"], result["result"]["energy_eV"]) == (True, -1.5)
    assert result["metrics"] == {"force_evaluations": 1}
    files = result["result"]["output_files"]
    assert set(files) == {"trajectory", "trajectory_extxyz"}
    assert all(address.startswith("/api/v1/files/file_") for address in files.values())


def test_a_failed_task_says_why_in_its_view_and_in_its_result(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(client)
    run(sql, task_id)
    fail(sql, task_id)
    error = {"code": 50007, "type": "OutOfMemoryError", "detail": "out", "stage": "optimize"}
    assert data_of(client.get(f"/tasks/{task_id}"))["error"] == error
    result = data_of(client.get(f"/tasks/{task_id}/result"))
    assert (result["status"], result["result"], result["error"]) == ("FAILED", None, error)


def test_a_result_that_was_cleared_away_is_30018(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(client)
    run(sql, task_id)
    complete(sql, task_id)
    sql.run("DELETE FROM task_results WHERE task_id = %s", task_id)
    error_of(client.get(f"/tasks/{task_id}/result"), 410, 30018)


def test_a_waiting_task_is_cancelled_at_once_and_only_once(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(client)
    response = client.post(f"/tasks/{task_id}/cancel")
    assert data_of(response, 202)["status"] == "CANCELLED"
    error_of(client.post(f"/tasks/{task_id}/cancel"), 409, 50004)
    line = sql.row("SELECT * FROM audit_lines WHERE target = %s", task_id)
    assert (line["action"], line["request_id"]) == ("task.cancel", response.json()["request_id"])


def test_a_running_task_is_asked_to_stop(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(client)
    run(sql, task_id)
    view = data_of(client.post(f"/tasks/{task_id}/cancel"), 202)
    assert (view["status"], view["cancel_requested"]) == ("RUNNING", True)
    assert sql.call("attempt_heartbeat", task_id, 1, "host") == "stop"


def test_an_unknown_task_is_30003_everywhere(client: httpx.Client) -> None:
    for method, path in [
        ("GET", ""), ("GET", "/result"), ("GET", "/files"), ("POST", "/cancel"), ("POST", "/retry"),
        ("DELETE", ""), ("GET", "/logs"), ("GET", "/logs/stream"), ("GET", "/events"), ("GET", "/webhooks"),
        ("POST", "/webhooks/dlv_x/redeliver"),
    ]:  # fmt: skip
        error_of(client.request(method, f"/tasks/task_none{path}"), 404, 30003)


def test_a_retry_is_a_new_task_with_the_same_request(client: httpx.Client, sql: Sql) -> None:
    task_id = submit(
        client,
        options={
            "priority": "HIGH",
            "tags": ["t"],
            "notify_url": "http://localhost:9/",
            "notify_secret": "s",
        },
    )
    run(sql, task_id)
    fail(sql, task_id)
    again = data_of(client.post(f"/tasks/{task_id}/retry"), 202)["task_id"]
    assert again != task_id
    old, new = sql.task(task_id), sql.task(again)
    same = ("model", "task_type", "parameters", "structure", "priority", "tags", "notify_url", "n_atoms",
            "notify_secret_encrypted", "timeout_seconds")  # fmt: skip
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    assert (new["retry_of"], new["status"]) == (task_id, "QUEUED")


def test_a_retry_without_its_structure_is_30002(client: httpx.Client, sql: Sql) -> None:
    file_id = data_of(upload(client, xyz("Li 0 0 0")), 201)["file_id"]
    task_id = submit(client, structure={"source": "upload", "file_id": file_id})
    client.post(f"/tasks/{task_id}/cancel")
    client.delete(f"/structures/{file_id}")
    error_of(client.post(f"/tasks/{task_id}/retry"), 404, 30002)


def test_only_an_ended_task_is_deleted_and_its_files_go_with_it(
    client: httpx.Client, gateway: Gateway, sql: Sql
) -> None:
    task_id = submit(client)
    folder = gateway.settings.storage_root / "results" / task_id
    folder.mkdir(parents=True)
    error_of(client.delete(f"/tasks/{task_id}"), 409, 30015)
    run(sql, task_id)
    complete(sql, task_id)
    assert data_of(client.delete(f"/tasks/{task_id}"))["deleted"] is True
    error_of(client.get(f"/tasks/{task_id}"), 404, 30003)
    assert not folder.exists()
    assert sql.rows("SELECT id FROM files WHERE task_id = %s", task_id) == []
    assert sql.row("SELECT * FROM audit_lines WHERE target = %s", task_id)["action"] == "task.delete"


def ids(response: httpx.Response) -> list[str]:
    return [item["task_id"] for item in data_of(response)["items"]]


def test_a_list_is_filtered(client: httpx.Client, sql: Sql) -> None:
    tag = new_id("tag")
    plain = submit(client, options={"tags": [tag]})
    high = submit(client, "optimization", options={"tags": [tag, "other"], "priority": "HIGH"})
    client.post(f"/tasks/{plain}/cancel")
    built = submit(client, structure=builtin(), options={"tags": [tag]})

    def find(**filters: str) -> list[str]:
        return ids(client.get("/tasks", params={"tag": tag} | filters))

    assert find() == [built, high, plain]
    assert find(status="CANCELLED") == [plain]
    assert find(task_type="optimization") == [high]
    assert find(priority="HIGH") == [high]
    assert find(structure_id="builtin:Mg-MOF-74") == [built]
    assert find(model="sevennet_prod_l3i5") == []
    middle = sql.task(high)["created_at"]
    assert find(created_after=middle.isoformat()) == [built, high]
    assert find(created_before=middle.isoformat()) == [plain]
    assert find(created_after=(datetime.now(UTC) + timedelta(days=1)).isoformat()) == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"status": "DONE"}, "status"), ({"page": "0"}, "page"), ({"page_size": "101"}, "page_size"),
        ({"cursor": "zzz"}, "cursor"), ({"cursor": "_" * 11}, "cursor"),
        ({"created_after": "soon"}, "created_after"),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_40002(client: httpx.Client, params: dict[str, str], field: str) -> None:
    assert error_of(client.get("/tasks", params=params), 422, 40002)["field"] == field


def test_pages_and_cursors_walk_the_same_list(client: httpx.Client) -> None:
    tag = new_id("tag")
    expected = [submit(client, options={"tags": [tag]}) for _ in range(5)][::-1]
    by_page = [ids(client.get("/tasks", params={"tag": tag, "page_size": 2, "page": p})) for p in (1, 2, 3)]
    assert [task_id for page in by_page for task_id in page] == expected
    walked: list[str] = []
    cursor: str | None = None
    while True:
        params = {"tag": tag, "page_size": "2"} | ({"cursor": cursor} if cursor else {})
        page = data_of(client.get("/tasks", params=params))
        walked += [item["task_id"] for item in page["items"]]
        assert page["pagination"]["total_items"] == 5
        # A task that arrives while somebody walks does not shift the rest of the walk.
        submit(client, options={"tags": ["late"]})
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == expected
