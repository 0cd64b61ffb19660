"""What is stored of an alert, with nobody watching."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from api_gateway.alerts import repository
from api_gateway.alerts.rules import Level
from api_gateway.alerts.schemas import Announcement
from api_gateway.database import Database
from mof_benchmark.identifiers import new_id

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def lost(subject: str) -> Announcement:
    return Announcement(
        alert_id=new_id("alert"),
        level=Level.CRITICAL,
        type="gpu_lost",
        subject=subject,
        message="lost",
        details={},
        timestamp=datetime.now(UTC),
        resolved=False,
    )


async def test_a_condition_that_lasts_is_one_alert_whatever_its_identifier(database: Database) -> None:
    async with database.begin() as session:
        first = lost("GPU 1")
        assert await repository.record(session, first, "prefect")
        assert not await repository.record(session, lost("GPU 1"), "monitor")
        assert await repository.record(session, lost("GPU 2"), "monitor")
        assert await repository.record(session, first.ended(), "prefect")
        assert await repository.record(session, lost("GPU 1"), "monitor")


async def test_beginning_and_end_are_told_once_each(database: Database) -> None:
    alert = lost("GPU 3")
    async with database.begin() as session:
        await repository.record(session, alert, "prefect")
        assert alert.alert_id in {one.id for one in await repository.untold(session)}
        await repository.mark_told(session, [alert.alert_id], resolved=False)
        assert alert.alert_id not in {one.id for one in await repository.untold(session)}
        await repository.record(session, alert.ended(), "prefect")
        assert alert.alert_id in {one.id for one in await repository.untold(session)}
        await repository.mark_told(session, [alert.alert_id], resolved=True)
        assert alert.alert_id not in {one.id for one in await repository.untold(session)}
