"""Several processes behind one port answer Prometheus with one count."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from api_gateway.metrics import instruments

# The library's own switch: it looks for it when a process imports it.
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_counts(folder: Path) -> None:
    """Have the processes started from here count in files of `folder`, which is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[_VARIABLE] = str(folder)


def counted() -> CollectorRegistry:
    """What this process counted, or with `share_counts` what all of them did."""
    folder = os.environ.get(_VARIABLE)
    if folder is None:
        return instruments.REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    return registry
