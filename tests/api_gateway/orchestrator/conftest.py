from __future__ import annotations

import anyio
import pytest

from tests.fixtures.prefect import PrefectServer, make_deployments


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def api_url(prefect_server: PrefectServer) -> str:
    """A server with the deployments of one slot."""
    anyio.run(make_deployments, prefect_server.api_url, ["single-point-energy"], 1)
    return prefect_server.api_url
