from __future__ import annotations

import threading
import time

import httpx

from tests.api_gateway.rest import data_of, error_of
from tests.api_gateway.tasks_for_tests import Sql


def test_models_are_listed_with_what_is_ready_here(client: httpx.Client) -> None:
    found = {model["name"]: model for model in data_of(client.get("/models?page_size=100"))["items"]}
    ready = found["sevennet_prod"]
    assert (ready["available"], ready["framework"], ready["with_d3"]) == (True, "sevennet", True)
    assert "Zn" in ready["supported_elements"]
    missing = found["mattersim_prod"]
    assert missing["available"] is False
    assert missing["reason"]
    assert missing["what_to_do"]


def test_a_model_says_where_it_is_loaded(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(3, warm_models=["sevennet_prod"])
    sql.slot_report(5, warm_models=["sevennet_prod", "orb_prod"])
    assert data_of(client.get("/models/sevennet_prod"))["loaded_on"] == [3, 5]


def test_an_unknown_model_is_30001(client: httpx.Client) -> None:
    error_of(client.get("/models/nope"), 404, 30001)
    error_of(client.post("/models/nope/load", json={"gpu_id": 0}), 404, 30001)


def test_weights_that_are_missing_cannot_be_loaded(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0)
    error_of(client.post("/models/mattersim_prod/load", json={"gpu_id": 0}), 409, 30017)


def test_an_unknown_gpu_is_30005(client: httpx.Client) -> None:
    error_of(client.post("/models/sevennet_prod/load", json={"gpu_id": 99}), 404, 30005)


def test_a_silent_gpu_is_30011(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0)
    sql.run("UPDATE gpu_slots SET reported_at = now() - interval '1 day'")
    error_of(client.post("/models/sevennet_prod/load", json={"gpu_id": 0}), 503, 30011)


def test_load_answers_when_the_host_has_done_it(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0)

    def host() -> None:
        for _ in range(100):
            for command in sql.slot_report(0):
                sql.call("slot_command_done", command["command_id"], None)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=host)
    thread.start()
    view = data_of(client.post("/models/sevennet_prod/load", json={"gpu_id": 0}), 200)
    thread.join()
    assert (view["state"], view["action"], view["gpu_id"]) == ("done", "load", 0)


def test_a_busy_gpu_answers_202_and_is_asked_again(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0, current={"task_id": "task_x", "attempt": 1})
    view = data_of(client.post("/models/sevennet_prod/unload", json={"gpu_id": 0}), 202)
    assert view["state"] == "pending"
    (command,) = sql.slot_report(0)
    assert (command["command_id"], command["action"]) == (view["command_id"], "unload")
    sql.call("slot_command_done", view["command_id"], {"code": 50010, "type": "X", "detail": "no"})
    again = data_of(client.get(f"/models/sevennet_prod/commands/{view['command_id']}"))
    assert (again["state"], again["error"]["code"]) == ("failed", 50010)


def test_an_unload_leaves_an_audit_line(client: httpx.Client, sql: Sql) -> None:
    sql.slot_report(0, current={"task_id": "task_x", "attempt": 1})
    request_id = client.post("/models/sevennet_prod/unload", json={"gpu_id": 0}).json()["request_id"]
    line = sql.row("SELECT * FROM audit_lines WHERE request_id = %s", request_id)
    assert (line["action"], line["target"]) == ("model.unload", "sevennet_prod")
