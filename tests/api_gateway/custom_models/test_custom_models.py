"""Uploading models over REST: taken in unread, usable only once a worker has validated them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mof_benchmark.identifiers import new_id
from tests.api_gateway.rest import data_of, error_of, submission
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway
from tests.mof_benchmark.calculators.custom.hostile import BROKEN, UNSAFE, good

SCHNET = {
    "interface": "schnet",
    "elements": ["H", "O"],
    "cutoff_A": 4.0,
    "n_atom_basis": 8,
    "n_interactions": 1,
    "n_rbf": 6,
}
CARD = {
    "framework": "pytorch",
    "dtype": "float32",
    "settings": {"interface": SCHNET},
    "elements": [1, 8],
    "sha256": "0" * 64,
}


def metadata(**changes: Any) -> dict[str, Any]:
    name = new_id("m").replace("_", "-")
    return {"name": name, "framework": "pytorch", "with_d3": True, "config": SCHNET} | changes


def upload(
    client: httpx.Client, content: bytes | None = None, file_name: str = "mine.pt", **changes: Any
) -> httpx.Response:
    said = metadata(**changes)
    return client.post(
        "/models/custom",
        files={"file": (file_name, good() if content is None else content)},
        data={"metadata": json.dumps(said)},
    )


@pytest.fixture
def uploaded(client: httpx.Client) -> dict[str, Any]:
    view: dict[str, Any] = data_of(upload(client), 201)
    return view


@pytest.fixture
def stored(gateway: Gateway) -> Iterator[Path]:
    """The folder of uploaded models; a refused upload leaves nothing in it."""
    folder = gateway.settings.storage_root / "models"
    before = set(folder.iterdir()) if folder.exists() else set()
    yield folder
    assert (set(folder.iterdir()) if folder.exists() else set()) == before


def take(sql: Sql, model_id: str) -> None:
    """Be the worker that takes this model; others that wait are taken and left."""
    for _ in range(100):
        order = sql.call("model_validation_take", "tests", 3600.0)
        assert order is not None
        if order["model_id"] == model_id:
            return


def validate(client: httpx.Client, gateway: Gateway, sql: Sql, view: dict[str, Any]) -> None:
    """Have a model validated by a worker that finds nothing wrong."""
    data_of(client.post(f"/models/custom/{view['model_id']}/validate"), 202)
    take(sql, view["model_id"])
    weights = f"models/{view['model_id']}/weights.pt"
    (gateway.settings.storage_root / weights).write_bytes(b"weights")
    report = {"passed": True, "checks": [{"name": "evaluates", "passed": True, "required": True}]}
    assert sql.call("model_validation_done", view["model_id"], "tests", report, CARD | {"weights": weights})


def test_an_upload_is_shown_as_it_was_described(client: httpx.Client) -> None:
    said = metadata(description="Trained on my MOFs")
    view = data_of(upload(client, file_name="../../my model.pt", **said), 201)
    assert view["model_id"].startswith("model_")
    assert (view["name"], view["status"], view["validation"]) == (said["name"], "uploaded", None)
    assert (view["file_name"], view["description"]) == ("my model.pt", "Trained on my MOFs")
    assert data_of(client.get(f"/models/custom/{view['model_id']}")) == view
    listed = data_of(client.get("/models/custom"))
    assert listed["items"][0]["model_id"] == view["model_id"]
    assert listed["pagination"]["page"] == 1


@pytest.mark.parametrize("name", ["os.system", "a graph module", "a zip bomb", "a path out of the archive"])
def test_a_hostile_upload_is_40009_and_leaves_nothing(
    client: httpx.Client, stored: Path, name: str, tmp_path: Path
) -> None:
    marker = tmp_path / "was-here"
    response = upload(client, UNSAFE[name](marker), "mine.model", framework="mace", config={})
    assert error_of(response, 422, 40009)["field"] == "file"
    assert not marker.exists()


def test_a_broken_upload_is_40005_and_leaves_nothing(
    client: httpx.Client, stored: Path, tmp_path: Path
) -> None:
    error_of(upload(client, BROKEN["half a file"](tmp_path / "x")), 422, 40005)
    error_of(upload(client, b""), 422, 40005)


def test_a_file_that_is_named_wrongly_is_40001(client: httpx.Client, stored: Path) -> None:
    error_of(upload(client, file_name="mine.model"), 415, 40001)


def test_a_file_that_is_too_large_is_40004(client: httpx.Client, stored: Path) -> None:
    error_of(upload(client, bytes(1_048_577)), 413, 40004)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "../evil"}, "metadata.name"),
        ({"framework": "keras"}, "metadata.framework"),
        ({"with_d4": True}, "metadata.with_d4"),
        ({"config": SCHNET | {"cutoff": 4.0}}, "metadata.config.cutoff"),
        ({"config": {}}, "metadata.config.interface"),
        ({"framework": "orb", "config": {}}, "metadata.config.architecture"),
    ],
)
def test_wrong_metadata_is_40002_with_its_field(
    client: httpx.Client, stored: Path, changes: dict[str, Any], field: str
) -> None:
    assert error_of(upload(client, **changes), 422, 40002)["field"] == field


def test_metadata_that_is_no_json_object_is_40003(client: httpx.Client, stored: Path) -> None:
    for text in ("{", "[]"):
        response = client.post("/models/custom", files={"file": ("x.pt", good())}, data={"metadata": text})
        error_of(response, 400, 40003)


def test_a_name_is_given_once(client: httpx.Client, uploaded: dict[str, Any], stored: Path) -> None:
    error_of(upload(client, name=uploaded["name"]), 409, 30013)
    error_of(upload(client, name="sevennet_prod"), 409, 30013)


def test_only_an_administrator_may_upload_validate_or_delete(
    gateway: Gateway, uploaded: dict[str, Any]
) -> None:
    model_id = uploaded["model_id"]
    with gateway.client("write") as writer:
        error_of(upload(writer), 403, 20004)
        error_of(writer.post(f"/models/custom/{model_id}/validate"), 403, 20004)
        error_of(writer.delete(f"/models/custom/{model_id}"), 403, 20004)
    with gateway.client("read") as reader:
        assert data_of(reader.get(f"/models/custom/{model_id}"))["name"] == uploaded["name"]


def test_a_model_that_is_not_validated_cannot_be_used(
    client: httpx.Client, sql: Sql, uploaded: dict[str, Any]
) -> None:
    sql.slot_report(0)
    name = uploaded["name"]
    error = error_of(client.post("/tasks/single-point-energy", json=submission(model=name)), 409, 30014)
    assert error["field"] == "model"
    error_of(client.post(f"/models/{name}/load", json={"gpu_id": 0}), 409, 30014)
    listed = next(one for one in data_of(client.get("/models?page_size=100"))["items"] if one["name"] == name)
    assert (listed["custom"], listed["validated"], listed["available"]) == (True, False, False)


def test_a_validated_model_is_used_like_any_other(
    client: httpx.Client, gateway: Gateway, sql: Sql, uploaded: dict[str, Any]
) -> None:
    validate(client, gateway, sql, uploaded)
    name, model_id = uploaded["name"], uploaded["model_id"]
    detail = data_of(client.get(f"/models/custom/{model_id}"))
    assert detail["status"] == "validated"
    assert detail["validated_at"]
    assert detail["validation"]["checks"][0]["name"] == "evaluates"
    shown = data_of(client.get(f"/models/{name}"))
    assert (shown["available"], shown["supported_elements"], shown["custom"]) == (True, ["H", "O"], True)
    for called in (name, model_id):
        accepted = data_of(client.post("/tasks/single-point-energy", json=submission(model=called)), 202)
        assert sql.task(accepted["task_id"])["model"] == name
    error_of(client.delete(f"/models/custom/{model_id}"), 409, 30015)
    sql.slot_report(0, current={"task_id": "task_x", "attempt": 1})
    command = data_of(client.post(f"/models/{name}/load", json={"gpu_id": 0}), 202)
    assert command["model"] == name
    sql.call("slot_command_done", command["command_id"], None)
    assert data_of(client.post(f"/models/custom/{model_id}/validate"), 200)["status"] == "validated"


def test_an_element_the_model_does_not_know_is_40006(
    client: httpx.Client, gateway: Gateway, sql: Sql, uploaded: dict[str, Any]
) -> None:
    validate(client, gateway, sql, uploaded)
    body = submission(model=uploaded["name"], structure={"source": "builtin", "name": "Mg-MOF-74"})
    error_of(client.post("/tasks/single-point-energy", json=body), 422, 40006)


def test_a_rejected_model_may_be_tried_again(
    client: httpx.Client, sql: Sql, uploaded: dict[str, Any]
) -> None:
    path = f"/models/custom/{uploaded['model_id']}"
    assert data_of(client.post(f"{path}/validate"), 202)["status"] == "validating"
    take(sql, uploaded["model_id"])
    assert sql.call("model_validation_alive", uploaded["model_id"], "tests")
    assert not sql.call("model_validation_alive", uploaded["model_id"], "another worker")
    error = {"code": 40009, "type": "UnsafeModelFileError", "detail": "It asks for os.system."}
    report = {"passed": False, "error": error}
    assert sql.call("model_validation_done", uploaded["model_id"], "tests", report, None)
    detail = data_of(client.get(path))
    assert (detail["status"], detail["validation"]["error"]) == ("rejected", error)
    assert data_of(client.post(f"{path}/validate"), 202)["validation"] is None


def test_a_model_whose_worker_dies_each_time_is_rejected(
    client: httpx.Client, sql: Sql, uploaded: dict[str, Any]
) -> None:
    model_id = uploaded["model_id"]
    data_of(client.post(f"/models/custom/{model_id}/validate"), 202)
    for _ in range(3):
        take(sql, model_id)
        sql.run(
            "UPDATE custom_models SET validation_seen_at = now() - interval '2 hours' WHERE id = %s", model_id
        )
    sql.call("model_validation_take", "tests", 3600.0)
    detail = data_of(client.get(f"/models/custom/{model_id}"))
    assert (detail["status"], detail["validation"]["error"]["code"]) == ("rejected", 50009)


def test_a_deleted_model_is_gone_and_hosts_let_it_go(
    client: httpx.Client, gateway: Gateway, sql: Sql, uploaded: dict[str, Any]
) -> None:
    name, path = uploaded["name"], f"/models/custom/{uploaded['model_id']}"
    folder = gateway.settings.storage_root / "models" / uploaded["model_id"]
    assert folder.is_dir()
    sql.slot_report(0, warm_models=[name])
    assert data_of(client.delete(path))["deleted"] is True
    assert not folder.exists()
    error_of(client.get(path), 404, 30001)
    error_of(client.delete(path), 404, 30001)
    error_of(client.post("/tasks/single-point-energy", json=submission(model=name)), 404, 30001)
    (command,) = [one for one in sql.slot_report(0) if one["model"] == name]
    assert command["action"] == "unload"
    sql.call("slot_command_done", command["command_id"], None)
    data_of(upload(client, name=name), 201)
