"""A receiver of webhooks: `.venv/bin/python examples/webhook_receiver.py --port 9000 --secret SECRET`.

Submit tasks with `notify_url="http://this-machine:9000/mofsim"` and `notify_secret="SECRET"`. The service
refuses addresses of private networks unless its operator lists the host in
`gateway.webhook_allowed_hosts`.
"""

from __future__ import annotations

import argparse

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from mofsim_client import WebhookVerificationError, verify_webhook


def receiver(secret: str) -> FastAPI:
    """An application that prints each message once, however often it is delivered."""
    app = FastAPI()
    seen: set[str] = set()

    @app.post("/mofsim")
    async def receive(request: Request) -> dict[str, bool]:
        try:
            message = verify_webhook(request.headers, await request.body(), secret)
        except WebhookVerificationError as error:
            raise HTTPException(401) from error
        delivery = request.headers["X-MOFSim-Delivery"]
        is_new = delivery not in seen
        if is_new:
            seen.add(delivery)
            print(message["event"], message["task_id"], message.get("summary"), flush=True)
        return {"new": is_new}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the webhooks of mofsim.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--secret", required=True)
    arguments = parser.parse_args()
    uvicorn.run(receiver(arguments.secret), host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
