"""Events of ours in Prefect, and what stands there to decide on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.events import Event, Resource


def event(name: str, resource: str, payload: Mapping[str, Any]) -> Event:
    """An event about `mofsim.<resource>`."""
    identifier = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in resource.lower())
    return Event(
        event=name,
        resource=Resource({"prefect.resource.id": f"mofsim.{identifier}", "prefect.resource.name": resource}),
        payload=dict(payload),
    )
