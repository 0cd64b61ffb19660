"""Fixtures of every folder: one PostgreSQL, one Prefect server, one execution side for the session."""

from __future__ import annotations

import os

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# As on a GPU host; and several test processes share the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = [
    "tests.fixtures.execution",
    "tests.fixtures.postgres",
    "tests.fixtures.prefect",
    "tests.fixtures.stack",
]
SERVERS = {
    "tests/stack/": "stack",
    "tests/docs/": "stack",
    "tests/flows/": "execution",
    "tests/deployments/": "execution",
    "tests/api_gateway/alerts/": "prefect",
    "tests/api_gateway/orchestrator/": "prefect",
    "tests/api_gateway/scheduling/": "prefect",
}
"""The server that the tests of a folder share."""


class ByServer(LoadScopeScheduling):
    """Hands tests to the test processes: those of one server stay together, and those of a file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((server for folder, server in SERVERS.items() if file.startswith(folder)), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu") is not None]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    return ByServer(config, log)
