"""The gateway as a process: log, schema, admin key, HTTP server."""

from __future__ import annotations

import argparse
import asyncio
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api_gateway.app import create_app
from api_gateway.database import database_url, upgrade
from api_gateway.keys.service import ensure_admin_key
from api_gateway.log_ring import LogRing, configure
from mofsim_settings import load_settings

_REQUESTS_MAY_TAKE_SECONDS = 10
"""Requests under way are cut after this at a shutdown."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m api_gateway", description=__doc__)
    parser.add_argument("--home", help="home folder of the stack; default: MOFSIM_HOME")
    settings = load_settings(parser.parse_args().home)
    ring = LogRing()
    configure(ring)
    upgrade(database_url(settings))
    asyncio.run(ensure_admin_key(settings))
    app = create_app(settings, log_ring=ring)
    config = uvicorn.Config(
        app,
        host=settings.gateway.host,
        port=settings.gateway.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_REQUESTS_MAY_TAKE_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
    )
    _Server(config, app).run()


class _Server(uvicorn.Server):
    """Ends the event streams when asked to stop: uvicorn would wait for them to end by themselves."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._app.state.services.listener.close()
        super().handle_exit(sig, frame)
