"""How an attempt ends without a result: what is told of it, and what it leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mof_benchmark.errors import StoppedError, UnphysicalError
from mofsim_settings import Settings
from tasks.attempt import FlowServices, attempt_of, services
from tasks.failures import ReplacedError
from tests.tasks.test_reporting import Desk, desk

__all__ = ["desk"]


@pytest.fixture
def settings(desk: Desk, tmp_path: Path) -> Settings:
    """Settings with a storage where the attempt has written half a trajectory."""
    settings = Settings(home=tmp_path)
    folder = settings.storage_root / "results" / desk.request.task_id / "1"
    folder.mkdir(parents=True)
    (folder / "trajectory.traj").write_bytes(b"half of it")
    return settings


async def no_host(gpu_id: int, reason: str) -> None:
    raise AssertionError("there is no host")


async def end(desk: Desk, settings: Settings, error: BaseException, *, closing: bool = False) -> None:
    """Run an attempt to its end by an error."""
    given = FlowServices(settings, desk.reports, no_host, asyncio.Event())
    if closing:
        given.closing.set()
    services.set(given)
    async with attempt_of(desk.request):
        raise error


def registered(desk: Desk) -> list[str]:
    rows = desk.sql.execute("SELECT role FROM files WHERE task_id = %s", desk.key)
    return [row[0] for row in rows]


def test_a_failure_is_stored_with_the_files_before_the_run_ends(desk: Desk, settings: Settings) -> None:
    with pytest.raises(UnphysicalError):
        asyncio.run(end(desk, settings, UnphysicalError("atoms flew apart")))
    assert registered(desk) == ["trajectory"]


@pytest.mark.parametrize("error", [StoppedError("stopped"), asyncio.CancelledError()])
def test_a_stop_leaves_the_files_whoever_hears_of_it_first(
    desk: Desk, settings: Settings, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        asyncio.run(end(desk, settings, error))
    assert registered(desk) == ["trajectory"]


def test_a_run_that_is_given_up_for_another_attempt_registers_nothing(desk: Desk, settings: Settings) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(end(desk, settings, asyncio.CancelledError(), closing=True))
    with pytest.raises(ReplacedError):
        asyncio.run(end(desk, settings, ReplacedError("replaced")))
    assert registered(desk) == []


def test_a_failure_stays_what_it_is_when_its_files_cannot_be_registered(
    desk: Desk, settings: Settings
) -> None:
    # A database whose gateway has not been upgraded yet.
    desk.sql.execute("DROP FUNCTION attempt_files")
    with pytest.raises(UnphysicalError):
        asyncio.run(end(desk, settings, UnphysicalError("atoms flew apart")))
    row = desk.sql.execute("SELECT error ->> 'code' FROM task_attempts WHERE task_id = %s", desk.key)
    assert row.fetchone() == ("50008",)


def test_a_stop_does_not_wait_for_a_database_that_is_away_and_its_files_follow(
    desk: Desk, settings: Settings
) -> None:
    async def stop_meanwhile() -> None:
        desk.go_away()
        with pytest.raises(asyncio.CancelledError):
            await end(desk, settings, asyncio.CancelledError())
        desk.come_back()
        # By now the stop has taken effect.
        desk.sql.execute("UPDATE tasks SET status = 'CANCELLED' WHERE id = %s", desk.key)
        async with asyncio.timeout(60):
            while not registered(desk):
                await asyncio.sleep(0.05)

    asyncio.run(stop_meanwhile())
    assert registered(desk) == ["trajectory"]
