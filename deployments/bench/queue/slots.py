"""Slots that nobody computes on, as their hosts would report them."""

from __future__ import annotations

from typing import Any


def slot_document(**changes: Any) -> dict[str, Any]:
    """What a healthy idle host reports."""
    return {
        "host": "bench",
        "pid": 1,
        "device": "simulated",
        "simulated": True,
        "memory_total_MB": 24576.0,
        "memory_free_MB": 24000.0,
        "memory_reclaimable_MB": 0.0,
        "temperature_C": 40.0,
        "utilisation_percent": 0.0,
        "warm_models": ["sevennet_prod"],
        "current": None,
        "dask_address": "tcp://127.0.0.1:1",
        "ok": True,
        "error": None,
    } | changes
