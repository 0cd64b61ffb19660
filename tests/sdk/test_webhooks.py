"""Webhooks: only what the server signed, and only lately, is taken."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mofsim_client import WebhookVerificationError, verify_webhook

SECRET = "your-webhook-secret"
BODY = json.dumps({"event": "task.completed", "task_id": "task_1", "status": "COMPLETED"}).encode()


def signed(body: bytes = BODY, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Headers as section "Webhooks" of the contract has them."""
    timestamp = str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-MOFSim-Timestamp": timestamp, "X-MOFSim-Signature": f"sha256={signature}"}


def test_a_genuine_webhook_is_read() -> None:
    assert verify_webhook(signed(), BODY, SECRET)["task_id"] == "task_1"


def test_header_names_may_come_in_any_case() -> None:
    headers = {name.lower(): value for name, value in signed().items()}
    assert verify_webhook(headers, BODY, SECRET)["event"] == "task.completed"


def test_another_secret_is_refused() -> None:
    with pytest.raises(WebhookVerificationError, match="does not fit"):
        verify_webhook(signed(secret="guess"), BODY, SECRET)


@given(position=st.integers(0, len(BODY) - 1), change=st.integers(1, 255))
def test_a_body_changed_anywhere_is_refused(position: int, change: int) -> None:
    body = bytearray(BODY)
    body[position] ^= change
    with pytest.raises(WebhookVerificationError):
        verify_webhook(signed(), bytes(body), SECRET)


def test_the_timestamp_is_signed_too() -> None:
    headers = signed(at=0) | {"X-MOFSim-Timestamp": str(int(time.time()))}
    with pytest.raises(WebhookVerificationError, match="does not fit"):
        verify_webhook(headers, BODY, SECRET)


def test_an_old_webhook_is_refused_unless_asked_for() -> None:
    headers = signed(at=time.time() - 3600)
    with pytest.raises(WebhookVerificationError, match="too old"):
        verify_webhook(headers, BODY, SECRET)
    assert verify_webhook(headers, BODY, SECRET, max_age_seconds=None)["task_id"] == "task_1"


@pytest.mark.parametrize("missing", ["X-MOFSim-Timestamp", "X-MOFSim-Signature"])
def test_a_missing_header_is_named(missing: str) -> None:
    headers = signed()
    del headers[missing]
    with pytest.raises(WebhookVerificationError, match=missing.lower()):
        verify_webhook(headers, BODY, SECRET)


@pytest.mark.parametrize("body", [b"not json", b"[1]"])
def test_a_signed_body_that_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookVerificationError, match="JSON"):
        verify_webhook(signed(body), body, SECRET)
