"""The tasks that are measured: every type on each structure, with a receiver of their webhooks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ase import Atoms
from mofsim_client.requests import (
    BulkModulus,
    HeatCapacity,
    InteractionEnergy,
    Optimization,
    SinglePoint,
    Stability,
    Submission,
)

MODEL = "sevennet_prod"
MD_STEPS = (100, 300)
"""Of NVT and of NPT, instead of 1000 and 50,000: two lengths, for what grows with them. Everything else is
the full protocol."""


@dataclass(frozen=True)
class Measured:
    """A submission, and what the arithmetic must know of it."""

    structure: str
    atoms: int
    md_steps: int
    submission: Submission[Any]


def tasks(name: str, atoms: Atoms, md_steps: tuple[int, ...], notify_url: str) -> list[Measured]:
    """All that is run on a structure; the defaults of each type are its full protocol."""
    # The spare GPU takes no others.
    told: dict[str, Any] = {"notify_url": notify_url, "priority": "CRITICAL"}
    whole: list[Submission[Any]] = [
        SinglePoint(atoms, MODEL, **told),
        Optimization(atoms, MODEL, **told),
        BulkModulus(atoms, MODEL, **told),
        HeatCapacity(atoms, MODEL, **told),
        InteractionEnergy(atoms, MODEL, mode="search", **told),
    ]
    dynamics = [
        (steps, Stability(atoms, MODEL, nvt={"steps": steps}, npt={"steps": steps}, **told))
        for steps in md_steps
    ]
    return [Measured(name, len(atoms), 0, one) for one in whole] + [
        Measured(name, len(atoms), steps, one) for steps, one in dynamics
    ]


class _Receiver(BaseHTTPRequestHandler):
    """Takes whatever comes."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def webhook_receiver() -> Iterator[str]:
    """Address that webhooks can be sent to, for the length of a block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
