"""A Flask receiver of mofsim's webhooks.

    MOFSIM_WEBHOOK_SECRET=… flask --app flask_webhooks run --port 9000

Submit with `notify_url="http://this-host:9000/mofsim"` and `notify_secret` of the same value.
"""

from __future__ import annotations

import os

from flask import Flask, Response, jsonify, request
from mofsim_client import WebhookVerificationError, verify_webhook

SECRET = os.environ["MOFSIM_WEBHOOK_SECRET"]
app = Flask(__name__)
seen: set[str] = set()


@app.post("/mofsim")
def mofsim() -> tuple[Response, int]:
    """Take a message; anything but 2xx makes the server send it again later."""
    try:
        message = verify_webhook(request.headers, request.get_data(), SECRET)
    except WebhookVerificationError as error:
        return jsonify(error=str(error)), 401
    delivery = request.headers["X-MOFSim-Delivery"]
    if delivery not in seen:  # A repeated delivery has the same name: the first answer was lost.
        seen.add(delivery)
        print(message["event"], message["task_id"], message.get("status"), flush=True)
    return jsonify(taken=delivery), 200
