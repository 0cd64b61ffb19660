from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from api_gateway.database import Database
from mof_benchmark.schemas import TaskType
from mofsim_settings import ComputeSettings, DatabaseSettings, PrefectSettings, SchedulingSettings, Settings
from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.prefect import PrefectServer, make_deployments


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Two slots and short times; nobody listens at Prefect's address."""
    return Settings(
        home=tmp_path,
        database=DatabaseSettings(url=database_url),
        prefect=PrefectSettings(api_url="http://127.0.0.1:9/api"),
        compute=ComputeSettings(slots=2),
        scheduling=SchedulingSettings(
            heartbeat_seconds=0.2,
            lost_after_seconds=1.0,
            cancel_grace_seconds=0.5,
            retry_wait_seconds=0.2,
            max_attempts=2,
        ),
    )


@pytest.fixture
def sql(database_url: str) -> Iterator[Sql]:
    """A connection to this module's database, empty."""
    sql = Sql.connect(database_url)
    sql.clear()
    yield sql
    sql.connection.close()


@pytest.fixture
async def database(settings: Settings, sql: Sql) -> AsyncIterator[Database]:
    database = Database.from_settings(settings)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def api_url(prefect_server: PrefectServer) -> str:
    """A Prefect server with the deployments of two slots."""
    anyio.run(make_deployments, prefect_server.api_url, [TaskType.SINGLE_POINT.value], 2)
    return prefect_server.api_url


@pytest.fixture
def live_settings(settings: Settings, api_url: str) -> Settings:
    """The same with a Prefect server that answers."""
    return settings.model_copy(update={"prefect": PrefectSettings(api_url=api_url)})
