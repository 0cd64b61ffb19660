"""The codes of the contract: status, both languages, and the operations that may answer each."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from api_gateway.documentation.openapi import operations
from api_gateway.errors import CODES
from tests.fixtures.gateway import Gateway

CONTRACT = {
    10001: 500, 10002: 503, 10003: 503, 10004: 507,
    20001: 401, 20002: 401, 20003: 401, 20004: 403,
    30001: 404, 30002: 404, 30003: 404, 30004: 404, 30005: 404, 30006: 404, 30007: 404,
    30011: 503, 30012: 503, 30013: 409, 30014: 409, 30015: 409, 30016: 422, 30017: 409, 30018: 410,
    40001: 415, 40002: 422, 40003: 400, 40004: 413, 40005: 422, 40006: 422, 40007: 405, 40008: 409,
    40009: 422, 40010: 422, 40029: 429,
    50001: None, 50002: None, 50003: 409, 50004: 409, 50005: None, 50006: None, 50007: None,
    50008: None, 50009: None, 50010: None,
}  # fmt: skip
"""Code and HTTP status of the contract; None where a task's own failure has no status."""

_SUBMIT = {
    f"submit_{kind}"
    for kind in (
        "optimization", "stability", "bulk_modulus", "heat_capacity", "interaction_energy",
        "single_point_energy", "batch",
    )
}  # fmt: skip
_UPLOAD = {"upload_structure", "preview_structure", "upload_model"}
_STREAMS = {"get_logs", "stream_task_logs", "stream_task_events"}
_COMMANDS = {"load_model", "unload_model"}
ANSWERED_BY = {
    10004: _SUBMIT | _UPLOAD,
    30001: _SUBMIT | _COMMANDS | {"retry_task", "get_model", "get_command", "get_custom_model"}
    | {"validate_custom_model", "delete_custom_model"},
    30002: _SUBMIT | {"retry_task", "get_structure", "delete_structure"},
    30003: _STREAMS | {"get_task", "get_result", "cancel_task", "retry_task", "delete_task", "get_batch"}
    | {"list_deliveries", "redeliver"},
    30004: {"download"},
    30005: _COMMANDS,
    30006: {"list_history"},
    30011: _COMMANDS,
    30012: _SUBMIT | {"retry_task"},
    30013: {"upload_model"},
    30014: _SUBMIT | _COMMANDS | {"retry_task"},
    30015: {"delete_task", "delete_structure", "delete_custom_model"},
    30016: _SUBMIT,
    30017: _SUBMIT | _COMMANDS | {"retry_task"},
    30018: {"get_result", "download"},
    40001: _SUBMIT | _UPLOAD,
    40003: _SUBMIT | _UPLOAD | _COMMANDS,
    40004: _SUBMIT | _UPLOAD,
    40005: _SUBMIT | _UPLOAD,
    40006: _SUBMIT,
    40008: _SUBMIT | {"retry_task"},
    40009: {"upload_model"},
    40010: _SUBMIT,
    50003: {"get_result"},
    50004: {"cancel_task"},
}  # fmt: skip
EVERYWHERE = {10001, 10002, 20001, 20002, 20003, 20004, 40002, 40029}
"""Any operation that needs a key may answer these."""
NOWHERE = {
    10003,  # submissions and cancellations hold while Prefect is away: health and alerts tell of it
    30007, 40007,  # of addresses that are no operation
}  # fmt: skip


@pytest.fixture(scope="module")
def told(gateway: Gateway) -> dict[int, set[str]]:
    """The operations whose description names a code."""
    document: dict[str, Any] = httpx.get(f"{gateway.url}/openapi.json", timeout=120).json()
    found: dict[int, set[str]] = {code: set() for code in CODES}
    for _, _, operation in operations(document):
        if not operation.get("security"):
            continue
        for answer in operation["responses"].values():
            for code in answer.get("content", {}).get("application/json", {}).get("examples", {}):
                found[int(code)].add(operation["operationId"])
    return found


@pytest.mark.parametrize("code", [code for code, status in CONTRACT.items() if status is not None])
def test_a_code_is_told_by_the_operations_that_may_answer_it(code: int, told: dict[int, set[str]]) -> None:
    if code in NOWHERE:
        assert not told[code]
    elif code in EVERYWHERE:
        assert told[code] == told[20001]
        assert len(told[code]) > 35
    else:
        assert told[code] >= ANSWERED_BY[code]


def test_the_table_holds_exactly_the_codes_of_the_contract() -> None:
    assert set(CODES) == set(CONTRACT)


@pytest.mark.parametrize(("code", "status"), [pair for pair in CONTRACT.items() if pair[1] is not None])
def test_a_code_has_the_status_of_the_contract(code: int, status: int) -> None:
    assert CODES[code].status == status


@pytest.mark.parametrize("code", CONTRACT)
def test_a_code_has_both_texts(code: int) -> None:
    kind = CODES[code]
    assert kind.message_en.isascii()
    assert any("一" <= character <= "鿿" for character in kind.message_zh)
    assert len({kind.message_en for kind in CODES.values()}) == len(CODES)
