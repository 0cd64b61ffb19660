"""A model of one's own through the whole stack: uploaded, validated by the worker, used on a host."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
import torch
from mofsim_client import MOFSimClient

from deployments.stack import lifecycle
from mof_benchmark.calculators.pytorch import SchNet
from mof_benchmark.schemas.custom_model import PyTorchConfig
from mofsim_settings import load_settings
from tests.stack.running import Home
from tests.stack.waiting import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.stack

CONFIG = {
    "interface": "schnet",
    "elements": ["O", "Si"],
    "cutoff_A": 3.0,
    "n_atom_basis": 8,
    "n_interactions": 1,
    "n_rbf": 6,
}


@pytest.fixture
def rest(home: Home) -> Any:
    stack = lifecycle.find(home.folder)
    assert stack is not None
    settings = load_settings(home.folder)
    key = settings.admin_key_file.read_text().strip()
    url = f"http://127.0.0.1:{settings.gateway.port}/api/v1"
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60) as client:
        yield client


def test_an_uploaded_model_is_validated_used_and_deleted(rest: httpx.Client, client: MOFSimClient) -> None:
    torch.manual_seed(5)
    weights = io.BytesIO()
    torch.save(SchNet(PyTorchConfig.model_validate(CONFIG)).state_dict(), weights)
    said = {"name": "my-schnet", "framework": "pytorch", "with_d3": False, "config": CONFIG}
    uploaded = rest.post(
        "/models/custom",
        files={"file": ("mine.pt", weights.getvalue())},
        data={"metadata": json.dumps(said)},
    )
    assert uploaded.status_code == 201, uploaded.text
    path = f"/models/custom/{uploaded.json()['data']['model_id']}"

    assert rest.post(f"{path}/validate").status_code == 202
    wait_for(lambda: rest.get(path).json()["data"]["status"] != "validating", "the validation")
    model = rest.get(path).json()["data"]
    assert model["status"] == "validated", model["validation"]
    checks = {check["name"]: check for check in model["validation"]["checks"]}
    assert checks["forces_match_energy"]["value"] < checks["forces_match_energy"]["limit"]

    result = client.submit_single_point("SOD", "my-schnet").wait(timeout=PATIENCE_SECONDS)
    assert result.provenance.model == "my-schnet"
    assert rest.delete(path).status_code == 200
    assert rest.get("/models/my-schnet").status_code == 404
