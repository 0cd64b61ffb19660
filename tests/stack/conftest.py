"""One embedded stack with two slots for all tests here."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from mofsim_client import MOFSimClient

from tests.stack.running import Home, new_home


@pytest.fixture(scope="session")
def home() -> Iterator[Home]:
    """The home of the running stack."""
    with new_home() as home:
        home.start("--slots", "2")
        yield home
        done = home.mofsim("down")
        assert done.returncode == 0, done.stderr
        assert home.processes() == []


@pytest.fixture
def client(home: Home) -> Iterator[MOFSimClient]:
    with home.client() as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the parts wrote when a test fails."""
    report = yield
    home = getattr(item, "funcargs", {}).get("home")
    if report.failed and isinstance(home, Home):
        report.sections.append(("stack logs", home.logs()))
    return report
