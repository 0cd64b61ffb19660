"""What must stay secret is searched for in everything that the gateway says and stores."""

from __future__ import annotations

from itertools import chain

import httpx

from api_gateway.auth.credentials import parse
from tests.api_gateway.rest import builtin, data_of, submission, submit
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway

SIGNING, IN_ADDRESS = "planted-signing-secret", "planted-token-of-the-address"
HOOK = {
    "notify_url": f"http://localhost:9/hook?token={IN_ADDRESS}",
    "notify_secret": SIGNING,
    "notify_events": ["task.cancelled"],
    "retry_times": 0,
}


def test_planted_secrets_are_found_nowhere(client: httpx.Client, gateway: Gateway, sql: Sql) -> None:
    task_id = submit(client, structure=builtin(), options=HOOK)
    shared = {"tasks": [submission(task_type="single-point-energy", structure=builtin())], "options": HOOK}
    batch_id = data_of(client.post("/tasks/batch", json=shared), 202)["batch_id"]
    wrong = client.post("/tasks/optimization", json=submission(options=HOOK | {"notify_secrets": SIGNING}))
    cancelled = client.post(f"/tasks/{task_id}/cancel")
    retried = client.post(f"/tasks/{task_id}/retry")
    said = [answer.text for answer in (wrong, cancelled, retried)] + [
        client.get(path).text
        for path in (
            *(f"/tasks/{task_id}{of_task}" for of_task in ("", "/webhooks", "/logs", "/events", "/result")),
            *(f"/tasks/batches/{batch_id}", "/tasks?page_size=100", "/system/config", "/health"),
        )
    ]
    said.append(httpx.get(f"{gateway.url}/metrics").text)
    tables = sql.rows("SELECT relname AS name FROM pg_stat_user_tables")
    stored = [
        row["line"]
        for table in tables
        for row in sql.rows(f"SELECT t::text AS line FROM {table['name']} t")  # noqa: S608 - our own tables
    ]
    assert len(stored) > 10
    key = parse(gateway.keys["all"])
    assert key is not None
    for text in chain(said, stored):
        assert SIGNING not in text
        assert gateway.keys["all"] not in text
        assert key.secret not in text
    for text in said:
        assert IN_ADDRESS not in text
