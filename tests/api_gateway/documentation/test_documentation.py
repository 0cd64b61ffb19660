from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from api_gateway.documentation.openapi import operations
from api_gateway.errors import CODES
from tests.fixtures.gateway import Gateway

SELF_OR_NOTHING = {"'none'", "'self'", "'unsafe-inline'", "data:", "blob:"}


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{gateway.url}/openapi.json").json()
    return found


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is sent and what is answered, with its media type."""
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        yield from body.get("content", {}).items()


def test_every_operation_is_described_and_names_its_codes(document: dict[str, Any]) -> None:
    names = []
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        names.append(operation["operationId"])
        assert operation["description"], where
        assert operation["tags"], where
        assert "HTTPValidationError" not in json.dumps(operation["responses"]), where
        if "/health" not in path:
            assert {"401", "403", "429", "500", "503"} <= set(operation["responses"]), where
            assert operation["security"], where
    assert len(names) > 25
    assert len(set(names)) == len(names)


def test_every_body_has_examples_that_its_own_schema_accepts(document: dict[str, Any]) -> None:
    checked = 0
    for path, method, operation in operations(document):
        for media_type, content in bodies(operation):
            if media_type not in ("application/json", "multipart/form-data"):
                continue
            examples = [content["example"]] if "example" in content else []
            examples += [example["value"] for example in content.get("examples", {}).values()]
            assert examples, f"{method} {path}"
            schema = content["schema"] | {"components": document["components"]}
            for example in examples:
                jsonschema.validate(example, schema)
                checked += 1
    assert checked > 200


def test_every_success_shows_its_own_status(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            example = answer.get("content", {}).get("application/json", {}).get("example")
            if status.startswith("2") and example is not None:
                assert example["code"] == int(status), f"{method} {path}"
                assert example["success"] is True


def test_every_operation_has_a_sample_that_is_python(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        (sample,) = operation["x-codeSamples"]
        compile(sample["source"], f"{method} {path}", "exec")


@pytest.mark.parametrize("page", ["/docs", "/redoc", "/docs/errors"])
def test_a_page_loads_only_what_the_gateway_itself_serves(gateway: Gateway, page: str) -> None:
    answer = httpx.get(gateway.url + page)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    policy = {
        name: set(values)
        for name, *values in (part.split() for part in answer.headers["Content-Security-Policy"].split(";"))
    }
    assert policy["default-src"] == {"'none'"}
    assert policy["script-src"] == {"'self'"}
    assert set().union(*policy.values()) <= SELF_OR_NOTHING
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/")
        assert httpx.get(gateway.url + address).status_code == 200


def test_only_known_assets_are_served(gateway: Gateway) -> None:
    for name in ("..%2fcore.py", "nothing.js"):
        assert httpx.get(f"{gateway.url}/docs/assets/{name}").status_code in (404, 422)


def test_the_page_of_errors_shows_every_code_in_both_languages(gateway: Gateway) -> None:
    page = httpx.get(f"{gateway.url}/docs/errors").text
    for code, kind in CODES.items():
        assert f'id="{code}"' in page
        assert kind.message_zh in page
