"""The OpenAPI document, with an example of every body and a sample of code for every operation."""

from __future__ import annotations

import pprint
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api_gateway.documentation.examples import example_of
from api_gateway.envelope import MESSAGES

Json = dict[str, Any]
_SAMPLE = """import httpx

api = httpx.Client(base_url="http://localhost:8000", headers={{"X-API-Key": key}})
answer = api.{method}({arguments})
print({shown})
"""


def complete(app: FastAPI) -> None:
    """Let `app.openapi()` answer with the completed document, made once."""
    bare = app.openapi

    def openapi() -> Json:
        if app.openapi_schema is None:
            _complete(bare())
        return bare()

    # FastAPI's documented way of extending its document.
    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: Json) -> None:
    for path, method, operation in operations(document):
        for content in _without_example(operation.get("requestBody", {})):
            content["example"] = example_of(content["schema"], document)
        for status, answer in operation["responses"].items():
            for content in _without_example(answer):
                content["example"] = example_of(content["schema"], document)
                if status.startswith("2"):
                    content["example"] |= {"code": int(status), "message": MESSAGES[int(status)][0]}
        operation["x-codeSamples"] = [{"lang": "Python", "source": _sample(path, method, operation)}]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Path, method and description of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _without_example(body: Json) -> Iterator[Json]:
    for media_type, content in body.get("content", {}).items():
        known = "example" in content or "examples" in content
        if not known and media_type in ("application/json", "multipart/form-data"):
            yield content


def _sample(path: str, method: str, operation: Json) -> str:
    arguments = f'{"f" if "{" in path else ""}"{path}"'
    contents = operation.get("requestBody", {}).get("content", {})
    if "application/json" in contents:
        body = _first_example(contents["application/json"])
        arguments += f", json={pprint.pformat(body, sort_dicts=False, width=90)}"
    elif contents:
        arguments += ', files={"file": open("MOF-5.cif", "rb")}'
    produced = {
        media_type
        for status, answer in operation["responses"].items()
        for media_type in answer.get("content", {})
        if status.startswith("2")
    }
    shown = 'answer.json()["data"]' if "application/json" in produced else "answer.text"
    return _SAMPLE.format(method=method, arguments=arguments, shown=shown)


def _first_example(content: Json) -> Any:
    if "example" in content:
        return content["example"]
    return next(iter(content["examples"].values()))["value"]
