from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from mof_benchmark.schemas import CALCULATIONS
from tests.api_gateway.rest import builtin, data_of, error_of, inline, submission, submit, upload, xyz
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway, serve


@pytest.mark.parametrize("task_type", list(CALCULATIONS))
def test_every_calculation_of_the_table_can_be_submitted(
    client: httpx.Client, sql: Sql, task_type: str
) -> None:
    response = client.post(f"/tasks/{task_type}", json=submission())
    accepted = data_of(response, 202)
    assert accepted["task_id"].startswith("task_")
    assert accepted["status"] == "QUEUED"
    assert accepted["position"] >= 1
    assert "estimated_wait_seconds" in accepted
    task = sql.task(accepted["task_id"])
    defaults = CALCULATIONS[task["task_type"]][0]().model_dump(mode="json")
    assert (task["task_type"], task["parameters"]) == (task_type, defaults)
    assert task["request_id"] == response.json()["request_id"]


def test_the_body_of_the_requirements_is_taken_as_it_stands(client: httpx.Client, sql: Sql) -> None:
    file_id = data_of(upload(client, xyz("C 0 0 0", "O 1.1 0 0")), 201)["file_id"]
    body = {
        "task_type": "optimization",
        "model": "sevennet_prod",
        "structure": {"source": "upload", "file_id": file_id},
        "parameters": {"fmax": 0.001, "max_steps": 1000, "optimizer": "BFGS", "with_d3": True},
        "options": {"priority": "NORMAL", "timeout": 3600, "notify_url": "http://localhost:9/callback"},
    }
    task = sql.task(data_of(client.post("/tasks/optimization", json=body), 202)["task_id"])
    assert (task["timeout_seconds"], task["priority"], task["notify_url"]) == (
        3600, 2, "http://localhost:9/callback",
    )  # fmt: skip
    assert task["notify_events"] == ["task.completed", "task.failed", "task.cancelled", "task.timeout"]


@pytest.mark.parametrize(("given", "stored"), [("CRITICAL", 0), ("low", 3), (1, 1)])
def test_a_priority_is_a_name_or_a_number(client: httpx.Client, sql: Sql, given: Any, stored: int) -> None:
    assert sql.task(submit(client, options={"priority": given}))["priority"] == stored


def test_callback_is_another_spelling_of_the_notify_options(client: httpx.Client, sql: Sql) -> None:
    callback = {"url": "http://localhost:9/x", "events": ["task.progress"], "secret": "s3cret"}
    task = sql.task(submit(client, options={"callback": callback}))
    assert (task["notify_url"], task["notify_events"]) == (callback["url"], ["task.progress"])
    both = submission(options={"callback": callback, "notify_url": "http://localhost:9/y"})
    error_of(client.post("/tasks/optimization", json=both), 422, 40002)


def test_a_webhook_secret_is_stored_encrypted_and_never_shown(
    client: httpx.Client, gateway: Gateway, sql: Sql
) -> None:
    secret = "correct-horse-battery"
    task_id = submit(client, options={"notify_url": "http://localhost:9/x", "notify_secret": secret})
    (row,) = sql.rows("SELECT count(*) AS n FROM tasks t WHERE t::text LIKE %s", f"%{secret}%")
    assert row["n"] == 0
    assert secret not in client.get(f"/tasks/{task_id}").text
    assert (gateway.settings.home / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"model": "nope"}, 404, 30001, "model"),
        ({"model": "mattersim_prod"}, 409, 30017, "model"),
        ({"structure": {"source": "upload", "file_id": "struct_x"}}, 404, 30002, "structure.file_id"),
        ({"structure": inline() | {"name": "a/"}}, 422, 40002, "structure.name"),
        ({"structure": builtin("MOF-55")}, 404, 30002, "structure.name"),
        ({"structure": inline(xyz("Lr 0 0 0"))}, 422, 40006, "structure"),
        ({"structure": inline("junk")}, 415, 40001, "structure.content"),
        ({"structure": {"source": "elsewhere"}}, 422, 40002, "structure"),
        ({"parameters": {"fmax": -1}}, 422, 40002, "parameters.fmax"),
        ({"parameters": {"optimizer": "Newton"}}, 422, 40002, "parameters.optimizer"),
        ({"task_type": "stability"}, 422, 40002, "task_type"),
        ({"options": {"timeout": 0}}, 422, 40002, "options.timeout"),
        ({"options": {"timeout": 10**8}}, 422, 40002, "options.timeout"),
        ({"options": {"priority": "URGENT"}}, 422, 40002, "options.priority"),
        ({"options": {"priority": 4}}, 422, 40002, "options.priority"),
        ({"options": {"notify_events": ["task.exploded"]}}, 422, 40002, "options.notify_events[0]"),
        ({"options": {"notify_url": "ftp://example.com"}}, 422, 40002, "options.notify_url"),
    ],
)
def test_a_wrong_submission_is_refused_before_queueing(
    client: httpx.Client, sql: Sql, changes: dict[str, Any], status: int, code: int, field: str
) -> None:
    before = sql.row("SELECT count(*) AS n FROM tasks")["n"]
    error = error_of(client.post("/tasks/optimization", json=submission(**changes)), status, code)
    assert error["field"] == field
    assert sql.row("SELECT count(*) AS n FROM tasks")["n"] == before


def test_a_task_shows_its_structure_by_the_name_it_was_submitted_with(client: httpx.Client) -> None:
    file_id = data_of(upload(client, xyz("Mg 0 0 0", "O 2 2 2.125"), "first.xyz"), 201)["file_id"]
    named = {"source": "upload", "file_id": file_id, "name": "second"}
    shown = [
        data_of(client.get(f"/tasks/{submit(client, structure=structure)}"))
        for structure in (named, {"source": "upload", "file_id": file_id})
    ]
    assert [task["structure_name"] for task in shown] == ["second", "first"]
    assert [task["structure_id"] for task in shown] == [file_id, file_id]
    again = data_of(client.post(f"/tasks/{shown[0]['task_id']}/cancel"), 202)
    retried = data_of(client.post(f"/tasks/{again['task_id']}/retry"), 202)
    assert data_of(client.get(f"/tasks/{retried['task_id']}"))["structure_name"] == "second"


def test_a_refused_submission_leaves_no_inline_structure_behind(client: httpx.Client, sql: Sql) -> None:
    unknown_element = submission(structure=inline(xyz("Lr 0 0 1")))
    error_of(client.post("/tasks/optimization", json=unknown_element), 422, 40006)
    assert sql.rows("SELECT id FROM structures WHERE 'Lr' = ANY (elements)") == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x", "http://127.0.0.2:8000/", "http://10.0.0.1/", "http://192.168.1.1/",
        "http://172.16.0.1/", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://[fd00::1]/",
        "http://[fe80::1]/", "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://100.64.0.1/",
        "http://2130706433/", "http://0x7f.1/", "http://user:word@8.8.8.8/", "http://224.0.0.1/",
        "http://does-not-exist.invalid/", "http://[64:ff9b::7f00:1]/",
    ],
)  # fmt: skip
def test_a_webhook_to_a_private_address_is_refused(client: httpx.Client, url: str) -> None:
    body = submission(options={"notify_url": url})
    error = error_of(client.post("/tasks/optimization", json=body), 422, 40010)
    assert error["field"] == "options.notify_url"


def test_a_webhook_to_a_public_address_is_taken(client: httpx.Client) -> None:
    submit(client, options={"notify_url": "https://93.184.215.14:8443/hook"})


def test_an_idempotency_key_makes_one_task_of_two_requests(client: httpx.Client, sql: Sql) -> None:
    headers = {"Idempotency-Key": "same-1"}
    answers = [
        data_of(client.post("/tasks/optimization", json=submission(), headers=headers), 202) for _ in range(2)
    ]
    assert answers[0] == answers[1]
    other = submission(parameters={"fmax": 0.02})
    error_of(client.post("/tasks/optimization", json=other, headers=headers), 409, 40008)
    fresh = client.post("/tasks/optimization", json=submission(), headers={"Idempotency-Key": "same-2"})
    assert data_of(fresh, 202)["task_id"] != answers[0]["task_id"]


def test_an_idempotency_key_is_forgotten_after_its_day(client: httpx.Client, sql: Sql) -> None:
    headers = {"Idempotency-Key": "old"}
    first = data_of(client.post("/tasks/optimization", json=submission(), headers=headers), 202)
    sql.run("UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = 'old'")
    second = data_of(client.post("/tasks/optimization", json=submission(), headers=headers), 202)
    assert first["task_id"] != second["task_id"]


def test_twins_at_the_same_moment_are_one_task(client: httpx.Client, gateway: Gateway) -> None:
    answers: list[str] = []

    def send() -> None:
        with gateway.client(headers={"Idempotency-Key": "twins"}) as own:
            answers.append(data_of(own.post("/tasks/optimization", json=submission()), 202)["task_id"])

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1


def test_a_full_queue_is_30012(gateway: Gateway, sql: Sql) -> None:
    queued = sql.row("SELECT count(*) AS n FROM tasks WHERE status = 'QUEUED'")["n"]
    settings = gateway.settings.model_copy(
        update={"gateway": gateway.settings.gateway.model_copy(update={"max_queued_tasks": queued + 1})}
    )
    with serve(settings) as url, gateway.client() as client:
        client.base_url = httpx.URL(f"{url}/api/v1")
        submit(client)
        error_of(client.post("/tasks/optimization", json=submission()), 503, 30012)


def batch_of(*tasks: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"tasks": [{"task_type": "single-point-energy"} | task for task in tasks]} | rest


def test_a_batch_of_a_thousand_is_accepted_in_its_order(client: httpx.Client) -> None:
    client.get("/structures/builtin")
    body = batch_of(*[submission(structure=builtin()) for _ in range(1000)])
    accepted = data_of(client.post("/tasks/batch", json=body), 202)
    assert len({task["task_id"] for task in accepted["tasks"]}) == 1000
    positions = [task["position"] for task in accepted["tasks"]]
    assert positions == list(range(positions[0], positions[0] + 1000))
    view = data_of(client.get(f"/tasks/batches/{accepted['batch_id']}"))
    assert (view["n_tasks"], view["counts"]["QUEUED"], len(view["tasks"])) == (1000, 1000, 1000)


def test_a_batch_shares_its_options_and_a_task_may_differ(client: httpx.Client, sql: Sql) -> None:
    body = batch_of(
        submission(),
        submission(options={"priority": "LOW"}),
        options={"priority": "HIGH", "tags": ["screening"]},
    )
    accepted = data_of(client.post("/tasks/batch", json=body), 202)
    rows = [sql.task(task["task_id"]) for task in accepted["tasks"]]
    assert [row["priority"] for row in rows] == [1, 3]
    assert [row["tags"] for row in rows] == [["screening"], ["screening"]]


def test_a_batch_with_a_wrong_task_is_refused_whole_with_the_index_of_each(
    client: httpx.Client, sql: Sql
) -> None:
    before = sql.row("SELECT count(*) AS n FROM tasks")["n"]
    body = batch_of(
        submission(), submission(model="nope"), submission(structure=builtin("x")), submission(model="nope")
    )
    error = error_of(client.post("/tasks/batch", json=body), 422, 40002)
    assert [(item["index"], item["code"], item["field"]) for item in error["errors"]] == [
        (1, 30001, "tasks[1].model"),
        (2, 30002, "tasks[2].structure.name"),
        (3, 30001, "tasks[3].model"),
    ]
    assert sql.row("SELECT count(*) AS n FROM tasks")["n"] == before


def test_a_batch_names_the_task_with_the_unknown_field(client: httpx.Client) -> None:
    body = batch_of(
        submission(), submission(task_type="optimization", parameters={"fmxa": 1}), submission(extra=1)
    )
    error = error_of(client.post("/tasks/batch", json=body), 422, 40002)
    assert [(item["index"], item["field"]) for item in error["errors"]] == [
        (1, "tasks[1].parameters.fmxa"),
        (2, "tasks[2].extra"),
    ]
    assert "`fmax`" in error["errors"][0]["detail"]


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_is_neither_empty_nor_endless(client: httpx.Client, count: int) -> None:
    body = batch_of(*[submission(structure=builtin()) for _ in range(count)])
    error_of(client.post("/tasks/batch", json=body), 422, 40002)


def test_an_unknown_batch_is_30003(client: httpx.Client) -> None:
    error_of(client.get("/tasks/batches/batch_x"), 404, 30003)


def test_a_structure_that_fits_no_gpu_is_30016_and_leaves_nothing(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0, device="NVIDIA H200", memory_total_MB=2_000, memory_free_MB=2_000)
    before = sql.row("SELECT count(*) FROM tasks")
    body = submission(structure=builtin("MOF-5"), parameters={"supercell": [4, 4, 4]})
    error = error_of(client.post("/tasks/stability", json=body), 422, 30016)
    assert "2.0 GB" in error["detail"]
    assert error["field"] == "structure"
    assert sql.row("SELECT count(*) FROM tasks") == before


@pytest.mark.parametrize("source", ["builtin", "upload", "inline"])
def test_the_memory_a_task_will_need_is_stored_and_shown(client: httpx.Client, sql: Sql, source: str) -> None:
    sql.slot_report(0, device="NVIDIA H200", memory_total_MB=80_000)
    content = xyz("C 0 0 0", "O 1.1 0 0")
    structure = {
        "builtin": lambda: builtin("Mg-MOF-74"),
        "upload": lambda: {"source": "upload", "file_id": upload(client, content).json()["data"]["file_id"]},
        "inline": lambda: inline(content),
    }[source]()
    shown = data_of(client.get(f"/tasks/{submit(client, structure=structure)}"))
    edges, atoms = (1674, 54) if source == "builtin" else (2, 2)
    assert shown["n_edges"] == edges
    assert shown["memory_estimate_MB"] == pytest.approx(500 + 0.1125 * edges + 64e-6 * atoms**2, abs=0.1)
