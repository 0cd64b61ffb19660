"""Waiting for another part of the stack, so that parts start together and none crash-loops."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

POLL_SECONDS = 0.05


def accepts(address: str) -> bool:
    """Whether something accepts connections at the host and port of a URL."""
    parts = urlsplit(address)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1.0):
            return True
    except OSError:
        return False


def wait_until_accepting(address: str) -> None:
    """Block until something accepts connections at the host and port of a URL."""
    while not accepts(address):
        time.sleep(POLL_SECONDS)
