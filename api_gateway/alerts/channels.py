"""Where notifications go besides Prefect's own blocks: log, file, webhooks."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import structlog

from api_gateway.webhooks.sender import ANSWER_SECONDS, sign
from mofsim_settings import Settings

log = structlog.get_logger("alert")

_TRIES = 4
_FIRST_WAIT_SECONDS = 1.0


def alert_file(settings: Settings) -> Path:
    """One JSON document a line, for collectors outside."""
    return settings.log_dir / "alerts.jsonl"


async def deliver(settings: Settings, document: dict[str, Any]) -> None:
    """Hand one notification (section 7.3) to every channel; a channel that fails is logged."""
    level = {"CRITICAL": log.critical, "WARNING": log.warning}.get(document["level"], log.info)
    level(
        document["message"], **{name: document[name] for name in ("alert_id", "type", "resolved", "details")}
    )
    body = json.dumps(document, ensure_ascii=False)
    try:
        await asyncio.to_thread(_append, alert_file(settings), body)
    except OSError as error:
        log.error("alert file not written", error=str(error))
    if settings.alerts.webhooks:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
            secret = settings.alerts.webhook_secret.get_secret_value()
            posts = (
                _post(client, url, body, document["alert_id"], secret) for url in settings.alerts.webhooks
            )
            await asyncio.gather(*posts)


def _append(file: Path, line: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(line + "\n")


async def _post(client: httpx.AsyncClient, url: str, body: str, alert_id: str, secret: str) -> None:
    wait = _FIRST_WAIT_SECONDS
    for attempt in range(1, _TRIES + 1):
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mofsim-alerts",
            "X-MOFSim-Event": "alert",
            "X-MOFSim-Delivery": alert_id,
            "X-MOFSim-Timestamp": timestamp,
        }
        if secret:
            headers["X-MOFSim-Signature"] = sign(secret, timestamp, body)
        try:
            response = await client.post(url, content=body.encode(), headers=headers)
            outcome = f"answered {response.status_code}"
            if response.is_success:
                return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome = type(error).__name__
        if attempt < _TRIES:
            await asyncio.sleep(wait)
            wait *= 4
    # Addresses of chat services carry their secret in the path.
    log.error("alert webhook failed", host=httpx.URL(url).host, outcome=outcome)
