from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api_gateway.tasks_for_tests import Sql


@pytest.fixture
def sql(database_url: str) -> Iterator[Sql]:
    """A connection to this module's database, empty."""
    sql = Sql.connect(database_url)
    sql.clear()
    yield sql
    sql.connection.close()
