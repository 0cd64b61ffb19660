from __future__ import annotations

import pytest

from api_gateway.errors import CODES

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
