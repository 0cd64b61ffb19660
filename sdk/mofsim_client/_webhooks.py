"""Checking that a webhook came from the server and was not changed."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from typing import Any, Protocol

from mofsim_client._exceptions import WebhookVerificationError


class Headers(Protocol):
    """Headers of a request, as every web framework has them."""

    def items(self) -> Iterable[tuple[str, str]]: ...


def verify_webhook(
    headers: Headers,
    body: bytes,
    secret: str,
    *,
    max_age_seconds: float | None = 300.0,
) -> dict[str, Any]:
    """Check a webhook's signature and age, and return its message.

    Parameters
    ----------
    headers
        Headers of the request, in any case (`request.headers` of Flask, FastAPI, Django).
    body
        The request's body as it came, unparsed.
    secret
        The `notify_secret` of the submission.
    max_age_seconds
        Oldest signature that is taken, against replays; None takes any.

    Raises
    ------
    WebhookVerificationError
        If a header is missing, the signature is not of this secret and body, or it is too old.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        timestamp = lower["x-mofsim-timestamp"]
        signature = lower["x-mofsim-signature"]
    except KeyError as error:
        raise WebhookVerificationError(f"The webhook has no header {error.args[0]}.") from None
    expected = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode(), f"sha256={expected}".encode()):
        raise WebhookVerificationError("The webhook's signature does not fit its body and this secret.")
    if max_age_seconds is not None and abs(time.time() - _seconds(timestamp)) > max_age_seconds:
        raise WebhookVerificationError("The webhook's signature is too old (or the clocks differ).")
    try:
        message = json.loads(body)
    except ValueError as error:
        raise WebhookVerificationError("The webhook's body is not JSON.") from error
    if not isinstance(message, dict):
        raise WebhookVerificationError("The webhook's body is not a JSON object.")
    return message


def _seconds(timestamp: str) -> float:
    try:
        return float(timestamp)
    except ValueError:
        raise WebhookVerificationError("The webhook's timestamp is not a Unix time in seconds.") from None
