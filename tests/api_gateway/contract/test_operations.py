"""Every operation of the contract is there, needs its scope, and nothing else is offered."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from api_gateway.auth.credentials import Scope
from api_gateway.documentation.openapi import operations
from tests.api_gateway.rest import error_of
from tests.fixtures.gateway import Gateway

ROWS = """
    POST   /tasks/optimization                              write  202
    POST   /tasks/stability                                 write  202
    POST   /tasks/bulk-modulus                              write  202
    POST   /tasks/heat-capacity                             write  202
    POST   /tasks/interaction-energy                        write  202
    POST   /tasks/single-point-energy                       write  202
    POST   /tasks/batch                                     write  202
    GET    /tasks/batches/{batch_id}                        read   200
    GET    /tasks                                           read   200
    GET    /tasks/{task_id}                                 read   200
    GET    /tasks/{task_id}/result                          read   200
    GET    /tasks/{task_id}/files                           read   200
    POST   /tasks/{task_id}/cancel                          write  202
    POST   /tasks/{task_id}/retry                           write  202
    DELETE /tasks/{task_id}                                 admin  200
    GET    /tasks/{task_id}/logs                            read   200
    GET    /tasks/{task_id}/logs/stream                     read   200
    GET    /tasks/{task_id}/events                          read   200
    GET    /tasks/{task_id}/webhooks                        read   200
    POST   /tasks/{task_id}/webhooks/{delivery_id}/redeliver write 202
    GET    /files/{file_id}                                 read   200 206 304 416
    GET    /models                                          read   200
    GET    /models/{model_name}                             read   200
    POST   /models/{model_name}/load                        write  200 202
    POST   /models/{model_name}/unload                      write  200 202
    GET    /models/{model_name}/commands/{command_id}       read   200
    POST   /models/custom                                   admin  201
    GET    /models/custom                                   read   200
    GET    /models/custom/{model_id}                        read   200
    DELETE /models/custom/{model_id}                        admin  200
    POST   /models/custom/{model_id}/validate               admin  200 202
    POST   /structures                                      write  201
    POST   /structures/preview                              write  200
    GET    /structures                                      read   200
    GET    /structures/builtin                              read   200
    GET    /structures/{structure_id}                       read   200
    DELETE /structures/{structure_id}                       admin  200
    GET    /health                                          -      200
    GET    /health/live                                     -      200
    GET    /health/ready                                    -      200
    GET    /system/gpus                                     read   200
    GET    /system/queue                                    read   200
    GET    /system/config                                   read   200
    GET    /system/audit                                    admin  200
    GET    /system/logs/stream                              admin  200
    GET    /system/storage                                  read   200
    GET    /system/storage/due                              admin  200
    GET    /system/alerts/rules                             read   200
    GET    /system/alerts/history                           read   200
    GET    /system/alerts/active                            read   200
"""
TABLE = [row.split(maxsplit=3) for row in ROWS.strip().splitlines()]


@pytest.fixture(scope="module")
def document(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{gateway.url}/openapi.json", timeout=120).json()
    return found


def test_the_document_offers_the_operations_of_the_contract_with_their_answers(
    document: dict[str, Any],
) -> None:
    offered = {
        (method.upper(), path.removeprefix("/api/v1")): [
            status for status in operation["responses"] if status[0] in "23" or status == "416"
        ]
        for path, method, operation in operations(document)
        if path.startswith("/api/v1")
    }
    for method, path, _, answers in TABLE:
        assert offered.pop((method, path)) == answers.split(), path
    assert not {path for path in offered if "simulat" not in path[1]}


@pytest.mark.parametrize("scope", Scope)
def test_an_operation_is_refused_to_a_key_with_every_scope_but_its_own(
    gateway: Gateway, scope: Scope
) -> None:
    others = gateway.make_key(*(other for other in Scope if other is not scope))
    with httpx.Client(base_url=f"{gateway.url}/api/v1", headers={"X-API-Key": others}, timeout=60) as client:
        for method, path, needed, _ in TABLE:
            if needed == scope:
                answer = client.request(method, re.sub(r"\{.*?\}", "any", path))
                assert needed in error_of(answer, 403, 20004)["detail"]
