"""When a starting stack is ready, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import httpx

from deployments.stack.parts import Part
from deployments.stack.waiting import accepts
from mofsim_settings import Settings


class Checks:
    """One check per part; a part that was ready once is not asked again."""

    def __init__(self, settings: Settings, parts: Sequence[Part]) -> None:
        self._client = httpx.Client(timeout=2.0, trust_env=False, verify=settings.prefect.verify)
        self._gateway = next(part.address for part in parts if part.name == "gateway")
        special: dict[str, Callable[[], bool]] = {
            "prefect": lambda: self._answers(f"{settings.prefect.api_url}/health"),
        }
        self._waiting = {
            part.name: special.get(part.name, partial(accepts, part.address))
            for part in parts
            if part.address
        }
        self._waiting["GPU hosts"] = self._hosts_report

    def newly_ready(self) -> list[str]:
        """Names of what became ready since the last call."""
        ready = [name for name, check in self._waiting.items() if check()]
        for name in ready:
            del self._waiting[name]
        return ready

    def missing(self) -> list[str]:
        return list(self._waiting)

    def _hosts_report(self) -> bool:
        if "gateway" in self._waiting:
            return False
        try:
            health = self._client.get(f"{self._gateway}/api/v1/health").json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(health["data"]["components"]["slots"]["state"] == "ok")

    def _answers(self, url: str) -> bool:
        try:
            return self._client.get(url).is_success
        except httpx.HTTPError:
            return False
