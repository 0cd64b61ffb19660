from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api_gateway.auth import credentials
from api_gateway.auth.credentials import Scope
from tests.api_gateway.rest import error_of, submission
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway, serve


def get(gateway: Gateway, key: str, path: str = "/tasks") -> httpx.Response:
    return gateway.client(None, headers={"X-API-Key": key}).get(path)


def test_without_a_key_the_answer_is_20001(gateway: Gateway) -> None:
    response = gateway.client(None).get("/tasks")
    error_of(response, 401, 20001)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_in_the_query_does_not_count(gateway: Gateway) -> None:
    error_of(gateway.client(None).get("/tasks", params={"api_key": gateway.keys["all"]}), 401, 20001)


@pytest.mark.parametrize(
    "key", ["nonsense", "mofsim_0123456789abcdef_secret", "mofsim__", "mofsim_ü_x".encode().decode("latin-1")]
)
def test_an_unknown_key_is_20002(gateway: Gateway, key: str) -> None:
    response = gateway.client(None, headers={"X-API-Key": key.encode("latin-1")}).get("/tasks")
    error_of(response, 401, 20002)


def test_the_right_id_with_a_wrong_secret_is_20002(gateway: Gateway) -> None:
    error_of(get(gateway, gateway.keys["all"][:-1] + "."), 401, 20002)


def test_bearer_and_header_are_both_taken(gateway: Gateway) -> None:
    key = gateway.keys["read"]
    assert get(gateway, key).status_code == 200
    bearer = gateway.client(None, headers={"Authorization": f"Bearer {key}"}).get("/tasks")
    assert bearer.status_code == 200


def test_an_expired_key_is_20003(gateway: Gateway) -> None:
    key = gateway.make_key(Scope.READ, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    error_of(get(gateway, key), 401, 20003)


def test_a_revoked_key_stops_working_within_seconds(gateway: Gateway, sql: Sql) -> None:
    key = gateway.make_key(Scope.READ)
    assert get(gateway, key).status_code == 200
    parsed = credentials.parse(key)
    assert parsed is not None
    sql.run("UPDATE api_keys SET revoked_at = now() WHERE lookup = %s", parsed.key_id)
    time.sleep(2.1)
    error_of(get(gateway, key), 401, 20003)


def test_each_operation_needs_its_scope(gateway: Gateway) -> None:
    read, write = gateway.client("read"), gateway.client("write")
    error_of(read.post("/tasks/optimization", json=submission()), 403, 20004)
    error_of(write.get("/tasks"), 403, 20004)
    error_of(write.delete("/tasks/task_x"), 403, 20004)
    error_of(read.get("/system/logs/stream"), 403, 20004)


def test_the_key_is_checked_before_the_body_is_read(gateway: Gateway) -> None:
    error_of(gateway.client(None).post("/tasks/optimization", content=b"not json"), 401, 20001)


def test_no_key_is_stored_in_the_clear(gateway: Gateway, sql: Sql) -> None:
    secret = gateway.keys["all"].split("_", 2)[2]
    (row,) = sql.rows("SELECT count(*) AS n FROM api_keys k WHERE k::text LIKE %s", f"%{secret}%")
    assert row["n"] == 0


def test_health_needs_no_key(gateway: Gateway) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert gateway.client(None).get(path).status_code == 200


def test_a_spent_key_is_40029_and_says_when_to_come_back(gateway: Gateway) -> None:
    key = gateway.make_key(Scope.READ, rate_per_minute=3)
    answers = [get(gateway, key) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert answers[0].headers["RateLimit-Limit"] == "3"
    error_of(answers[3], 429, 40029)
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 20


def test_tokens_come_back_with_time(gateway: Gateway) -> None:
    key = gateway.make_key(Scope.READ, rate_per_minute=20)
    while get(gateway, key).status_code == 200:
        pass
    time.sleep(3.1)
    assert get(gateway, key).status_code == 200


def test_a_rate_holds_over_two_gateways(gateway: Gateway) -> None:
    key = gateway.make_key(Scope.READ, rate_per_minute=40)
    statuses: list[int] = []
    with serve(gateway.settings) as second:

        def spend(url: str) -> None:
            with httpx.Client(headers={"X-API-Key": key}) as client:
                statuses.extend(client.get(f"{url}/api/v1/tasks").status_code for _ in range(30))

        started = time.monotonic()
        threads = [threading.Thread(target=spend, args=(url,)) for url in (gateway.url, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refilled = int((time.monotonic() - started) * 40 / 60) + 1
    counts = Counter(statuses)
    assert counts[200] + counts[429] == 60
    assert 40 <= counts[200] <= 40 + refilled
