"""The sensor of a simulated GPU is set over REST, where there are simulated GPUs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonschema
import pytest
from pydantic import SecretStr

from api_gateway.auth.credentials import Scope
from api_gateway.documentation.openapi import operations
from mofsim_settings import ComputeSettings, DatabaseSettings, PrefectSettings, Settings
from tests.fixtures.gateway import NOBODY, Gateway, serve


@pytest.fixture(scope="module")
def simulated(database_url: str) -> Iterator[Gateway]:
    """A gateway with two simulated GPUs."""
    home = Path(tempfile.mkdtemp(prefix="mofsim-simulation-"))
    settings = Settings(
        home=home,
        database=DatabaseSettings(url=SecretStr(database_url)),
        prefect=PrefectSettings(api_url=NOBODY),
        compute=ComputeSettings(slots=2, simulated=True),
    )
    with serve(settings) as url:
        gateway = Gateway(url, settings, {})
        gateway.keys["all"] = gateway.make_key(*Scope)
        gateway.keys["write"] = gateway.make_key(Scope.READ, Scope.WRITE)
        yield gateway
    shutil.rmtree(home, ignore_errors=True)


def test_what_is_set_reaches_the_host_with_its_next_look(simulated: Gateway) -> None:
    with simulated.client() as client:
        answer = client.put("/system/gpus/1/simulation", json={"temperature_C": 91.0, "lost": True})
        assert answer.status_code == 200
        assert answer.json()["data"]["memory_free_MB"] == 78_000.0
        assert client.get("/system/gpus/1/simulation").json()["data"] == answer.json()["data"]
        assert client.get("/system/gpus/0/simulation").json()["data"]["lost"] is False

    sql = simulated.sql
    shown = sql.call("slot_simulation", 1)
    assert (shown["temperature_C"], shown["lost"]) == (91.0, True)
    assert sql.call("slot_simulation", 0) is None
    (line,) = sql.rows("SELECT * FROM audit_lines WHERE action = 'gpu.simulate'")
    assert (line["target"], line["detail"]["temperature_C"]) == ("1", 91.0)
    sql.connection.close()


def test_a_gpu_that_there_is_not_and_a_sensor_that_there_is_not_are_refused(simulated: Gateway) -> None:
    with simulated.client() as client:
        assert client.put("/system/gpus/2/simulation", json={}).json()["code"] == 30005
        assert client.put("/system/gpus/-1/simulation", json={}).json()["code"] == 30005
        refused = client.put("/system/gpus/0/simulation", json={"temprature_C": 91.0}).json()
        assert (refused["code"], refused["error"]["field"]) == (40002, "temprature_C")
        assert "temperature_C" in refused["error"]["detail"]
        refused = client.put("/system/gpus/0/simulation", json={"utilisation_percent": 101}).json()
        assert (refused["code"], refused["error"]["field"]) == (40002, "utilisation_percent")


def test_only_an_administrator_may_set_it(simulated: Gateway) -> None:
    with simulated.client("write") as client:
        assert client.put("/system/gpus/0/simulation", json={}).json()["code"] == 20004


def test_it_is_described_with_an_example_its_own_schema_accepts(simulated: Gateway) -> None:
    document = httpx.get(f"{simulated.url}/openapi.json", timeout=60).json()
    found = {
        method: operation for path, method, operation in operations(document) if path.endswith("/simulation")
    }
    assert set(found) == {"get", "put"}
    body = found["put"]["requestBody"]["content"]["application/json"]
    jsonschema.validate(body["example"], body["schema"] | {"components": document["components"]})
    assert body["example"]["temperature_C"] == 91.0


def test_without_simulated_gpus_there_is_no_such_route(gateway: Gateway) -> None:
    with gateway.client() as client:
        for answer in (
            client.put("/system/gpus/0/simulation", json={}),
            client.get("/system/gpus/0/simulation"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, 30007)
    assert "/simulation" not in httpx.get(f"{gateway.url}/openapi.json", timeout=60).text
