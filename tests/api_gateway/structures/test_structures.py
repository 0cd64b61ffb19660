from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from mof_benchmark.structures.writing import read_canonical
from tests.api_gateway.rest import builtin, data_of, error_of, submit, upload, xyz
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.gateway import Gateway

REAL = Path(__file__).parents[4] / "shared" / "data" / "structures" / "MgMOF74.cif"


def folders(gateway: Gateway) -> set[str]:
    root = gateway.settings.storage_root / "structures"
    return {path.name for path in root.iterdir()} if root.exists() else set()


def test_an_upload_answers_with_what_was_read(client: httpx.Client, gateway: Gateway) -> None:
    view = data_of(upload(client, xyz("O 0 0 0", "H 0.96 0 0", "H -0.24 0.93 0"), "water.xyz"), 201)
    assert view["file_id"].startswith("struct_")
    assert (view["name"], view["format"], view["n_atoms"], view["formula"]) == ("water", "extxyz", 3, "H2O")
    assert view["elements"] == ["H", "O"]
    assert view["cell_parameters"] == {"a": 10, "b": 10, "c": 10, "alpha": 90, "beta": 90, "gamma": 90}
    assert view["density_g_cm3"] == pytest.approx(18.015 / 1000 * 1.66054, rel=1e-4)
    folder = gateway.settings.storage_root / "structures" / view["file_id"]
    assert {path.name for path in folder.iterdir()} == {"source.extxyz", "structure.extxyz"}
    assert len(read_canonical(folder / "structure.extxyz")) == 3


def test_a_real_cif_is_read(client: httpx.Client) -> None:
    if not REAL.exists():
        pytest.skip("the real structures of ../shared/data are not here")
    view = data_of(upload(client, REAL.read_bytes(), REAL.name), 201)
    assert (view["format"], view["n_atoms"], view["formula"]) == ("cif", 54, "C24H6Mg6O18")


def test_the_same_content_is_one_structure(client: httpx.Client, gateway: Gateway) -> None:
    content = xyz("Ar 1 2 3")
    first = data_of(upload(client, content, "first.xyz"), 201)
    before = folders(gateway)
    second = data_of(upload(client, content, "second.extxyz"), 201)
    assert second == first
    assert folders(gateway) == before


def test_a_name_is_only_for_people(client: httpx.Client, gateway: Gateway) -> None:
    view = data_of(upload(client, xyz("Ne 0 0 0"), "../../etc/passwd\x00.cif"), 201)
    assert "/" not in view["name"]
    assert not (gateway.settings.storage_root / "etc").exists()
    named = client.post(
        "/structures", files={"file": ("x.xyz", xyz("Ne 0 0 1"))}, data={"name": "Neon, schön"}
    )
    assert data_of(named, 201)["name"] == "Neon, schön"


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        (b"", "empty.cif", 422, 40005),
        (b"%PDF-1.7 not a structure", "paper.pdf", 415, 40001),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "picture.cif", 415, 40001),
        (b"data_x\n_cell_length_a 10\nloop_\n_atom_site_label\n", "no_atoms.cif", 422, 40005),
        (xyz("Xx 0 0 0").encode(), "no_element.xyz", 422, 40005),
        (b"3\n\nO 0 0 0\nH 0 0 1\n", "short.xyz", 422, 40005),
    ],
)
def test_a_bad_file_leaves_nothing_behind(
    client: httpx.Client, gateway: Gateway, content: bytes, name: str, status: int, code: int
) -> None:
    before, listed = folders(gateway), client.get("/structures").json()["data"]["pagination"]
    error = error_of(upload(client, content, name), status, code)
    assert len(error["detail"]) > 10
    assert folders(gateway) == before
    assert client.get("/structures").json()["data"]["pagination"] == listed


def test_a_missing_file_part_is_40002(client: httpx.Client) -> None:
    error = error_of(client.post("/structures", data={"name": "x"}), 422, 40002)
    assert error["field"] == "file"


def test_broken_multipart_is_40003(client: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    error_of(client.post("/structures", content=b"no boundary", headers=headers), 400, 40003)


def test_too_large_a_file_is_40004(client: httpx.Client, gateway: Gateway) -> None:
    before = folders(gateway)
    content = b" " * (gateway.settings.gateway.max_upload_bytes + 1)
    error_of(upload(client, content, "large.cif"), 413, 40004)
    assert folders(gateway) == before


def test_structures_are_listed_newest_first(client: httpx.Client) -> None:
    older = data_of(upload(client, xyz("Kr 0 0 1"), "older.xyz"), 201)
    newer = data_of(upload(client, xyz("Kr 0 0 2"), "newer.xyz"), 201)
    page = data_of(client.get("/structures", params={"page_size": 2}))
    assert [item["file_id"] for item in page["items"]] == [newer["file_id"], older["file_id"]]
    assert page["pagination"]["page_size"] == 2
    assert page["pagination"]["total_pages"] == -(-page["pagination"]["total_items"] // 2)
    assert data_of(client.get(f"/structures/{older['file_id']}")) == older


def test_an_unknown_structure_is_30002(client: httpx.Client) -> None:
    error_of(client.get("/structures/struct_none"), 404, 30002)
    error_of(client.delete("/structures/struct_none"), 404, 30002)


def test_a_deleted_structure_is_gone_and_may_come_again(client: httpx.Client, gateway: Gateway) -> None:
    content = xyz("Xe 0 0 0")
    file_id = data_of(upload(client, content), 201)["file_id"]
    assert data_of(client.delete(f"/structures/{file_id}")) == {"id": file_id, "deleted": True}
    error_of(client.get(f"/structures/{file_id}"), 404, 30002)
    assert file_id not in folders(gateway)
    again = data_of(upload(client, content), 201)["file_id"]
    assert again != file_id


def test_a_structure_that_a_task_waits_for_is_not_deleted(client: httpx.Client) -> None:
    file_id = data_of(upload(client, xyz("He 0 0 0")), 201)["file_id"]
    task_id = submit(client, structure={"source": "upload", "file_id": file_id})
    error_of(client.delete(f"/structures/{file_id}"), 409, 30015)
    client.post(f"/tasks/{task_id}/cancel")
    assert client.delete(f"/structures/{file_id}").status_code == 200


def test_a_deletion_leaves_an_audit_line_that_says_who_did_it(client: httpx.Client, sql: Sql) -> None:
    file_id = data_of(upload(client, xyz("He 0 0 1")), 201)["file_id"]
    request_id = client.delete(f"/structures/{file_id}").json()["request_id"]
    (line,) = data_of(client.get("/system/audit", params={"target": file_id}))["items"]
    assert (line["action"], line["request_id"]) == ("structure.delete", request_id)
    assert sql.row("SELECT count(*) AS n FROM api_keys WHERE name = %s", line["actor"])["n"] == 1
    other = client.get("/system/audit", params={"target": file_id, "action": "task.delete"})
    assert data_of(other)["pagination"]["total_items"] == 0


def test_builtin_structures_are_listed_with_their_source(client: httpx.Client) -> None:
    found = {item["name"]: item for item in data_of(client.get("/structures/builtin"))["items"]}
    assert found["MOF-5"]["n_atoms"] == 106
    assert all(item["doi"] and item["source"] for item in found.values())


def test_a_builtin_structure_is_ready_for_the_hosts(client: httpx.Client, gateway: Gateway, sql: Sql) -> None:
    task_id = submit(client, structure=builtin("Mg-MOF-74"))
    structure = sql.task(task_id)["structure"]
    assert structure["structure_id"] == "builtin:Mg-MOF-74"
    assert len(read_canonical(gateway.settings.storage_root / structure["path"])) == 54
