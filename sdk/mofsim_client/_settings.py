"""Where the server is and with which key: arguments, then the environment, then the stack's home."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

__version__ = "0.1.0"
DEFAULT_URL = "http://127.0.0.1:8000"
API_PREFIX = "/api/v1"


@dataclass(frozen=True)
class Connection:
    """Everything needed to talk to one server."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    language: str = "en"
    timeout_seconds: float = 30.0
    max_retries: int = 4

    def http_arguments(self) -> dict[str, Any]:
        headers = {"User-Agent": f"mofsim-client/{__version__}", "Accept-Language": self.language}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return {
            "base_url": self.base_url + API_PREFIX,
            "headers": headers,
            "timeout": httpx.Timeout(self.timeout_seconds, connect=10.0),
        }


def discover(
    base_url: str | None = None,
    api_key: str | None = None,
    home: str | Path | None = None,
    *,
    language: str = "en",
    timeout_seconds: float = 30.0,
    max_retries: int = 4,
) -> Connection:
    """Fill in what was not given.

    The address comes from `base_url`, `MOFSIM_BASE_URL`, or the stack that runs in the home folder
    (`home`, `MOFSIM_HOME`, `~/.mofsim`). The key comes from `api_key`, `MOFSIM_API_KEY`, or the
    home's `admin.key`; the last is only ever sent to that home's own server.
    """
    folder = Path(home or os.environ.get("MOFSIM_HOME") or Path.home() / ".mofsim").expanduser()
    named_url = base_url or (None if home else os.environ.get("MOFSIM_BASE_URL"))
    named_key = api_key or (None if home else os.environ.get("MOFSIM_API_KEY"))
    home_url = stack_url(folder)
    url = (named_url or home_url or DEFAULT_URL).rstrip("/").removesuffix(API_PREFIX)
    if named_key is None and url == (home_url or DEFAULT_URL):
        named_key = stack_key(folder)
    return Connection(url, named_key, language, timeout_seconds, max_retries)


def stack_url(home: Path) -> str | None:
    """Address of the stack that runs in this home, from what it wrote about itself."""
    try:
        gateway = json.loads((home / "run" / "stack.json").read_text())["gateway"]
        return f"http://{_reachable(gateway.get('host', '127.0.0.1'))}:{int(gateway['port'])}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def stack_key(home: Path) -> str | None:
    """The admin key the stack made for this home."""
    try:
        return (home / "admin.key").read_text().strip() or None
    except OSError:
        return None


def _reachable(host: str) -> str:
    """The address to call for the address a server listens on."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - compared with, not bound to
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
