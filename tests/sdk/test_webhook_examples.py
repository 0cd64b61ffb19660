"""The two webhook receivers of `sdk/examples`, as servers of their own, fed by a real gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from mofsim_client import MOFSimClient

from tests.fixtures.execution import free_port
from tests.sdk.conftest import wait_until
from tests.sdk.test_webhooks import signed

EXAMPLES = Path(__file__).resolve().parents[2] / "sdk" / "examples"
MODEL = "sevennet_prod"
SECRET = "your-webhook-secret"
SERVERS = {
    "fastapi_webhooks": ["-m", "uvicorn", "fastapi_webhooks:app", "--port"],
    "flask_webhooks": ["-m", "flask", "--app", "flask_webhooks", "run", "--port"],
}


def is_up(url: str) -> bool:
    try:
        return bool(httpx.get(url, timeout=5).status_code)
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("name", SERVERS)
def test_the_example_takes_what_the_server_signed_and_nothing_else(
    client: MOFSimClient, tmp_path: Path, name: str
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    output = tmp_path / "output"
    with (
        output.open("wb") as stream,
        subprocess.Popen(
            [sys.executable, *SERVERS[name], str(port)],
            cwd=EXAMPLES,
            env={**os.environ, "MOFSIM_WEBHOOK_SECRET": SECRET, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
        ) as receiver,
    ):
        try:
            wait_until(lambda: is_up(url))
            task = client.submit_single_point(
                "MOF-5",
                MODEL,
                notify_url=f"{url}/mofsim",
                notify_events=["task.cancelled"],
                notify_secret=SECRET,
            )
            task.cancel()
            (delivery,) = wait_until(lambda: [one for one in task.webhooks() if one.delivered_at])
            client.redeliver_webhook(task.id, delivery.delivery_id)
            wait_until(lambda: len(task.webhooks()[0].attempts) == 2)
            forged = httpx.post(f"{url}/mofsim", content=b"{}", headers=signed(b"{}", secret="guess"))
        finally:
            receiver.terminate()
    assert [attempt.status_code for attempt in task.webhooks()[0].attempts] == [200, 200]
    assert forged.status_code == 401
    assert output.read_text().count(f"task.cancelled {task.id} CANCELLED") == 1
