from __future__ import annotations

import re
from datetime import datetime

import httpx
import pytest

from tests.api_gateway.rest import error_of, submission
from tests.fixtures.gateway import Gateway


def test_an_answer_carries_the_envelope(client: httpx.Client) -> None:
    response = client.get("/tasks")
    body = response.json()
    assert set(body) == {"success", "code", "message", "data", "timestamp", "request_id"}
    assert (body["success"], body["code"]) == (True, 200)
    assert body["timestamp"].endswith("Z")
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


def test_an_error_carries_the_envelope(client: httpx.Client) -> None:
    response = client.get("/tasks/task_unknown")
    body = response.json()
    assert set(body) == {"success", "code", "message", "error", "timestamp", "request_id"}
    assert error_of(response, 404, 30003) == {
        "type": "TaskNotFoundError",
        "detail": "There is no task 'task_unknown'",
        "field": None,
    }


def test_a_well_formed_request_id_is_kept(client: httpx.Client) -> None:
    response = client.get("/tasks", headers={"X-Request-ID": "my-Request_42"})
    assert response.headers["X-Request-ID"] == response.json()["request_id"] == "my-Request_42"


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "semi;colon", "ü".encode()])
def test_a_bad_request_id_is_replaced(client: httpx.Client, offered: str | bytes) -> None:
    response = client.get("/tasks", headers={"X-Request-ID": offered})
    made = response.headers["X-Request-ID"]
    assert re.fullmatch(r"req_[0-9a-z]{26}", made)
    assert response.json()["request_id"] == made


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("zh-CN,zh;q=0.9", "任务未找到"),
        ("en", "Task not found"),
        ("de, en;q=0.3, zh;q=0.8", "任务未找到"),
        ("zh;q=0.1, en;q=0.5", "Task not found"),
        ("fr", "Task not found"),
        ("zh;q=nonsense", "Task not found"),
    ],
)
def test_messages_follow_accept_language(client: httpx.Client, header: str, message: str) -> None:
    assert client.get("/tasks/x", headers={"Accept-Language": header}).json()["message"] == message


def test_success_speaks_chinese_too(client: httpx.Client) -> None:
    assert client.get("/tasks", headers={"Accept-Language": "zh"}).json()["message"] == "操作成功"


def test_an_unknown_route_is_30007(client: httpx.Client) -> None:
    error_of(client.get("/nothing-here"), 404, 30007)


def test_a_wrong_method_is_40007_and_names_the_right_ones(client: httpx.Client) -> None:
    response = client.put("/tasks")
    error_of(response, 405, 40007)
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(b'{"model": ', "application/json"), (b"[]", "application/json"), (b"{}", "text/plain"), (b"", None)],
)
def test_a_malformed_body_is_40003(client: httpx.Client, content: bytes, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    error_of(client.post("/tasks/optimization", content=content, headers=headers), 400, 40003)


def test_a_deeply_nested_body_is_refused_without_harm(client: httpx.Client) -> None:
    content = b"[" * 100_000 + b"]" * 100_000
    headers = {"Content-Type": "application/json"}
    error_of(client.post("/tasks/optimization", content=content, headers=headers), 400, 40003)


def test_a_nul_character_is_refused_not_stored(client: httpx.Client) -> None:
    error_of(client.get("/tasks/a%00b"), 422, 40002)


@pytest.mark.parametrize(
    ("changes", "field", "suggestion"),
    [
        ({"parameters": {"fmxa": 0.01}}, "parameters.fmxa", "`fmax`"),
        ({"optins": {}}, "optins", "`options`"),
        ({"options": {"notify_ulr": "x"}}, "options.notify_ulr", "`notify_url`"),
        ({"structure": {"source": "builtin", "nmae": "MOF-5", "name": "MOF-5"}}, "structure.nmae", "`name`"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest_known_name(
    client: httpx.Client, changes: dict[str, object], field: str, suggestion: str
) -> None:
    error = error_of(client.post("/tasks/optimization", json=submission(**changes)), 422, 40002)
    assert error["field"] == field
    assert suggestion in error["detail"]


def test_an_unknown_filter_is_refused_with_the_nearest_known_name(client: httpx.Client) -> None:
    error = error_of(client.get("/tasks", params={"staus": "FAILED"}), 422, 40002)
    assert error["field"] == "staus"
    assert "`status`" in error["detail"]


def test_every_answer_carries_the_security_headers(gateway: Gateway) -> None:
    for response in (gateway.client().get("/tasks"), gateway.client(None).get("/tasks")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"
        assert "access-control-allow-origin" not in response.headers


def test_a_body_beyond_the_limit_is_40004_whether_announced_or_not(gateway: Gateway) -> None:
    limit = gateway.settings.gateway.max_json_bytes
    headers = {"Content-Type": "application/json"}
    with gateway.client() as client:
        announced = client.post("/tasks/optimization", content=b" " * (limit + 1), headers=headers)
        chunks = (b" " * 2**20 for _ in range(limit // 2**20 + 2))
        streamed = client.post("/tasks/optimization", content=chunks, headers=headers)
    error_of(announced, 413, 40004)
    error_of(streamed, 413, 40004)
