"""Requests and bodies that the REST tests share."""

from __future__ import annotations

from typing import Any

import httpx

MODEL = "sevennet_prod"
WATER = """3
Lattice="10 0 0 0 10 0 0 0 10" Properties=species:S:1:pos:R:3 pbc="T T T"
O 0 0 0
H 0.96 0 0
H -0.24 0.93 0
"""


def xyz(*atoms: str, cell: float = 10.0) -> str:
    """Extended XYZ of a cubic cell with `atoms` given as `El x y z`."""
    lattice = f'Lattice="{cell} 0 0 0 {cell} 0 0 0 {cell}"'
    return f"{len(atoms)}\n{lattice} Properties=species:S:1:pos:R:3\n" + "\n".join(atoms) + "\n"


def inline(content: str = WATER) -> dict[str, Any]:
    return {"source": "inline", "format": "extxyz", "content": content}


def builtin(name: str = "Mg-MOF-74") -> dict[str, Any]:
    return {"source": "builtin", "name": name}


def submission(**changes: Any) -> dict[str, Any]:
    return {"model": MODEL, "structure": inline()} | changes


def submit(client: httpx.Client, task_type: str = "single-point-energy", **changes: Any) -> str:
    """Submit a task and return its identifier."""
    response = client.post(f"/tasks/{task_type}", json=submission(**changes))
    assert response.status_code == 202, response.text
    return str(response.json()["data"]["task_id"])


def upload(client: httpx.Client, content: str | bytes, name: str = "some.xyz") -> httpx.Response:
    return client.post("/structures", files={"file": (name, content)})


def error_of(response: httpx.Response, status: int, code: int) -> dict[str, Any]:
    """The error of a refused request, which must have this status and code."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert body["success"] is False
    found = body["error"]
    assert isinstance(found, dict)
    return found


def data_of(response: httpx.Response, status: int = 200) -> Any:
    """The data of an answer, which must have this status."""
    assert response.status_code == status, response.text
    return response.json()["data"]
