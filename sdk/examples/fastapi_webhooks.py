"""A FastAPI receiver of mofsim's webhooks.

    MOFSIM_WEBHOOK_SECRET=… uvicorn fastapi_webhooks:app --port 9000

Submit with `notify_url="http://this-host:9000/mofsim"` and `notify_secret` of the same value.
"""

from __future__ import annotations

import os

from fastapi import FastAPI, HTTPException, Request
from mofsim_client import WebhookVerificationError, verify_webhook

SECRET = os.environ["MOFSIM_WEBHOOK_SECRET"]
app = FastAPI()
seen: set[str] = set()


@app.post("/mofsim")
async def mofsim(request: Request) -> dict[str, str]:
    """Take a message; anything but 2xx makes the server send it again later."""
    try:
        message = verify_webhook(request.headers, await request.body(), SECRET)
    except WebhookVerificationError as error:
        raise HTTPException(401, str(error)) from error
    delivery = request.headers["X-MOFSim-Delivery"]
    if delivery not in seen:  # A repeated delivery has the same name: the first answer was lost.
        seen.add(delivery)
        print(message["event"], message["task_id"], message.get("status"), flush=True)
    return {"taken": delivery}
