"""The OpenAPI document is kept: requests made from it, good and bad, meet no answer it does not tell.

Schemathesis makes the requests with a valid key; half of those that name something name something
that is there. The streams that never end are read elsewhere (`system/test_system.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok, Result
from schemathesis.schemas import APIOperation, BaseSchema

from mof_benchmark.identifiers import new_id
from tests.api_gateway.rest import builtin, data_of, submit, upload
from tests.api_gateway.tasks.test_tasks import complete, run
from tests.fixtures.gateway import Gateway, running_gateway
from tests.fixtures.postgres import PostgresServer

ENDLESS = "/api/v1/system/logs/stream"
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
EXAMPLES = 5


@pytest.fixture(scope="module")
def served(postgres_server: PostgresServer) -> Iterator[Gateway]:
    """A gateway of this module's own, which may be filled and emptied at will."""
    url = postgres_server.create_database(template="mofsim_template")
    with running_gateway(url, max_upload_bytes=2**20, default_rate_per_minute=1_000_000) as gateway:
        yield gateway
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def there(served: Gateway) -> dict[str, str]:
    """Names of things that are there."""
    with served.client() as client:
        task_id = submit(client, structure=builtin())
        batch = {
            "tasks": [{"task_type": "single-point-energy", "model": "sevennet_prod", "structure": builtin()}]
        }
        batch_id = data_of(client.post("/tasks/batch", json=batch), 202)["batch_id"]
        structure_id = data_of(upload(client, "1\n\nO 0 0 0\n"), 201)["file_id"]
        sql = served.sql
        run(sql, task_id)
        complete(sql, task_id)
        file_id = sql.row("SELECT id FROM files WHERE task_id = %s LIMIT 1", task_id)["id"]
        for path in sql.rows("SELECT path FROM files"):
            file = served.settings.storage_root / path["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"0123456789")
        sql.connection.close()
    return {
        "task_id": task_id,
        "batch_id": batch_id,
        "structure_id": structure_id,
        "file_id": file_id,
        "model_name": "sevennet_prod",
        "model_id": new_id("model"),
    }


@pytest.fixture(scope="module")
def schema(served: Gateway, there: dict[str, str]) -> BaseSchema:
    found = schemathesis.openapi.from_url(f"{served.url}/openapi.json", timeout=120)

    @found.hook("map_path_parameters")
    def half_of_them_are_there(_: Any, parameters: dict[str, Any]) -> dict[str, Any]:
        return {
            name: there.get(name, value) if len(str(value)) % 2 else value
            for name, value in (parameters or {}).items()
        }

    return found.exclude(path=ENDLESS)


def described(result: Result[APIOperation[Any, Any, Any, Any], Any]) -> APIOperation[Any, Any, Any, Any]:
    assert isinstance(result, Ok), result
    return result.ok()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_document_tells(
    schema: BaseSchema, served: Gateway, mode: GenerationMode
) -> None:
    found = []
    key = {"Authorization": f"Bearer {served.keys['all']}"}
    operations = [described(result) for result in schema.get_all_operations()]
    # What is there is deleted last.
    for operation in sorted(operations, key=lambda one: one.method == "delete"):

        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def keep_the_document(case: schemathesis.Case[Any]) -> None:
            answer = case.call(headers=key, timeout=30)
            case.validate_response(answer, checks=CHECKS)

        try:
            keep_the_document()
        except hypothesis.errors.Unsatisfiable:
            # Nothing about it can be wrong: it takes no parameter and no body.
            assert mode is GenerationMode.NEGATIVE, operation.label
        except (FailureGroup, Failure) as failure:
            found.append(f"{operation.label}: {failure}")
    assert not found, "\n\n".join(found)
