"""The gateway as a process or several: log, schema, admin key, HTTP server."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from api_gateway.app import create_app
from api_gateway.database import database_url, upgrade
from api_gateway.keys.service import ensure_admin_key
from api_gateway.log_ring import LogRing, configure
from api_gateway.metrics.sharing import share_counts
from mofsim_logs import LogFiles
from mofsim_settings import load_settings

_REQUESTS_MAY_TAKE_SECONDS = 10
"""Requests under way are cut after this at a shutdown."""
_IDLE_CONNECTION_SECONDS = 75
"""Longer than proxies and clients keep one: they must never send into a connection being closed."""
_PROCESS_MAY_START_SECONDS = 120
"""A process that serves nothing after this long is given up."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m api_gateway", description=__doc__)
    parser.add_argument("--home", help="home folder of the stack; default: MOFSIM_HOME")
    home = parser.parse_args().home
    if home is not None:
        # The serving processes read the settings themselves.
        os.environ["MOFSIM_HOME"] = str(load_settings(home).home)
    settings = load_settings()
    if settings.gateway.processes > 1:
        share_counts(settings.run_dir / "metrics")
    upgrade(database_url(settings))
    asyncio.run(ensure_admin_key(settings))
    config = uvicorn.Config(
        f"{__name__}:application",
        factory=True,
        host=settings.gateway.host,
        port=settings.gateway.port,
        workers=settings.gateway.processes,
        access_log=False,
        log_level="warning",
        server_header=False,
        # It bounds the headers; httptools, taken where it is installed, would not.
        http="h11",
        timeout_keep_alive=_IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=_REQUESTS_MAY_TAKE_SECONDS,
        timeout_worker_healthcheck=_PROCESS_MAY_START_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
    )
    if settings.gateway.processes == 1:
        uvicorn.Server(config).run()
    else:
        Multiprocess(config, sockets=[config.bind_socket()]).run()


def application() -> FastAPI:
    """The application of one serving process; uvicorn calls this once its signal handlers stand."""
    ring = LogRing()
    settings = load_settings()
    configure(ring, LogFiles(settings.log_dir))
    app = create_app(settings, log_ring=ring)
    _end_streams_on_signals(app)
    _die_with_parent()
    return app


def _end_streams_on_signals(app: FastAPI) -> None:
    """End the event streams when asked to stop: uvicorn would wait for them to end by themselves."""
    exit_server = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        app.state.services.listener.close()
        if callable(exit_server):
            exit_server(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _die_with_parent() -> None:
    """A killed parent must not leave processes behind that hold its port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
