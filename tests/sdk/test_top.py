"""`mofsim top`: its look on fixed documents, its work on a real gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mofsim_client import (
    AlertInfo,
    AsyncMOFSimClient,
    ComponentHealth,
    GpuInfo,
    Health,
    LogLine,
    MOFSimClient,
    QueueInfo,
    RunningTask,
    SystemStatus,
    TaskInfo,
)
from mofsim_client.top import Picture, Top, _app
from mofsim_client.top import _words as words
from mofsim_client.top._dialogs import ChooseModel
from mofsim_client.top._picture import look
from mofsim_client.top._rows import Rows
from textual.pilot import Pilot
from textual.widgets import OptionList, RichLog, Static

from tests.api_gateway.tasks_for_tests import Sql
from tests.fixtures.postgres import PostgresServer
from tests.sdk.conftest import Gateway, new_home, running_gateway
from tests.sdk.execution_by_hand import Hands

MODEL = "sevennet_prod"
AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PATIENCE_SECONDS = 120.0


def gpu(gpu_id: int, **changes: Any) -> GpuInfo:
    values: dict[str, Any] = {
        "gpu_id": gpu_id,
        "state": "idle",
        "device": "NVIDIA GeForce RTX 4090",
        "memory_total_MB": 24564,
        "memory_free_MB": 23800,
        "temperature_C": 38 + gpu_id,
        "utilisation_percent": 0,
    }
    return GpuInfo(**(values | changes))


def task(number: int, **changes: Any) -> TaskInfo:
    values: dict[str, Any] = {
        "task_id": f"task_01kb3jz4zv8m1x2c7d9e5f6g{number:02d}",
        "status": "QUEUED",
        "task_type": "optimization",
        "model": MODEL,
        "structure_name": "MOF-5",
        "priority": "NORMAL",
        "created_at": AT - timedelta(minutes=number),
    }
    return TaskInfo(**(values | changes))


def running(number: int) -> RunningTask:
    return RunningTask(task_id=task(number).task_id, attempt=1)


PICTURE = Picture(
    AT,
    SystemStatus(
        health=Health(
            status="degraded",
            components={
                "database": ComponentHealth(state="ok"),
                "prefect": ComponentHealth(state="down"),
            },
        ),
        gpus=[
            gpu(
                0,
                state="busy",
                memory_free_MB=9000,
                temperature_C=71,
                utilisation_percent=97,
                warm_models=[MODEL, "mace_prod"],
                current=running(1),
            ),
            gpu(
                1,
                state="busy",
                memory_free_MB=1200,
                temperature_C=88,
                utilisation_percent=100,
                warm_models=["mace_prod"],
                current=running(2),
            ),
            gpu(2, warm_models=[MODEL]),
            gpu(3, state="lost", error="no report for 12 s"),
            *(gpu(gpu_id) for gpu_id in range(4, 8)),
        ],
        queue=QueueInfo(
            counts={"QUEUED": 2, "RUNNING": 2},
            queued_by_priority={"CRITICAL": 0, "HIGH": 1, "NORMAL": 1, "LOW": 0},
            oldest_queued_at=AT - timedelta(seconds=240),
            estimated_wait_seconds=40,
        ),
    ),
    [
        task(
            5, status="FAILED", structure_name="HKUST-1", error={"code": 50007, "detail": "24 GB are too few"}
        ),
        task(4, task_type="heat-capacity", structure_name="ZIF-8"),
        task(3, priority="HIGH", tags=["screening"]),
        task(
            2,
            status="RUNNING",
            gpu_id=1,
            task_type="stability",
            model="mace_prod",
            structure_name="UiO-66-conventional [dry]",
            started_at=AT - timedelta(seconds=8300),
            progress={"stage": "npt", "current_step": 31000, "total_steps": 50000, "percentage": 63},
        ),
        task(
            1,
            status="RUNNING",
            gpu_id=0,
            started_at=AT - timedelta(seconds=83),
            progress={
                "stage": "optimize",
                "current_step": 120,
                "total_steps": 1000,
                "percentage": 62,
                "values": {"energy_eV": -803.25, "fmax_eV_A": 0.0123},
            },
        ),
        task(6, status="COMPLETED", task_type="single-point-energy", duration_seconds=0.8),
    ],
    [
        AlertInfo(
            alert_id="alert_1",
            level="CRITICAL",
            type="gpu_lost",
            message="GPU 3 was lost",
            resolved=False,
            timestamp=AT,
        )
    ],
)
LOG = [
    LogLine(
        timestamp=AT + timedelta(seconds=step),
        level="WARNING" if step == 9 else "INFO",
        message=f"step {110 + step}: energy -803.{step:02d} eV, fmax 0.0{20 - step} eV/Å",
    )
    for step in range(12)
]


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The screen shows the times of its own time zone."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def with_the_picture(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, Top)
    await pilot.pause()
    app.show(PICTURE)
    await pilot.pause()
    app.show_log(LOG)
    await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["small", "large"])
def test_the_screen_looks_as_it_should(snap_compare: Any, in_utc: None, size: tuple[int, int]) -> None:
    app = Top(AsyncMOFSimClient("http://mof.example:8000", "key"), every_seconds=None)
    assert snap_compare(app, terminal_size=size, run_before=with_the_picture)


def test_a_filter_leaves_the_tasks_that_have_its_words(in_utc: None) -> None:
    async def story() -> None:
        app = Top(AsyncMOFSimClient("http://mof.example:8000", "key"), every_seconds=None)
        async with app.run_test(size=(80, 24)) as pilot:
            await with_the_picture(pilot)
            assert [key[-1] for key, _ in app.query_one("#tasks", Rows)._shown] == list("123456")[:6]
            await pilot.press("slash", *"screening mof-5", "enter")
            assert app.chosen is not None
            assert app.chosen.tags == ["screening"]
            await pilot.press("escape")
            assert app.query_one("#tasks", Rows).row_count == 6

    asyncio.run(story())


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (45.4, "45s"), (200, "3m20"), (7500, "2h05"), (273600, "3d04")]
)
def test_a_time_span_is_short(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


def test_an_answer_that_comes_when_the_screen_is_gone_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def session() -> None:
        app = Top(AsyncMOFSimClient("http://127.0.0.1:1", "key", max_retries=0), every_seconds=0.2)
        came = False

        async def late(client: AsyncMOFSimClient) -> Picture:
            nonlocal came
            head = app.query_one("#head")
            try:
                return await look(client)
            finally:
                while head.is_attached:
                    await asyncio.sleep(0.001)
                came = True

        monkeypatch.setattr(_app, "look", late)
        async with app.run_test():
            pass
        assert came

    asyncio.run(session())


def use(gateway_url: str, key: str, story: Callable[[Top, Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    """Let someone use the screen, on a small terminal."""

    async def session() -> None:
        client = AsyncMOFSimClient(gateway_url, key, max_retries=0)
        app = Top(client, every_seconds=0.2)
        async with app.run_test(size=(80, 24)) as pilot:
            await story(app, pilot)

    asyncio.run(session())


async def until(pilot: Pilot[None], condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        await pilot.pause(0.05)
    return found


def log_of(app: Top) -> str:
    return "\n".join(strip.text for strip in app.query_one("#log", RichLog).lines)


def head_of(app: Top) -> str:
    return str(app.query_one("#head", Static).render())


def key_of(home: Path) -> str:
    return (home / "admin.key").read_text().strip()


def test_a_task_is_followed_and_cancelled_by_keys(
    gateway: Gateway, hands: Hands, client: MOFSimClient
) -> None:
    task = client.submit_optimization("MOF-5", MODEL, tags=["on-top"])
    hands.start(task.id)
    hands.report(task.id, 3, "first line")

    async def story(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.query_one("#tasks", Rows).row_count)
        await pilot.press("slash", *"on-top", "enter")
        await until(pilot, lambda: app.chosen and app.chosen.task_id == task.id)
        await until(pilot, lambda: "first line" in log_of(app))
        await asyncio.to_thread(hands.report, task.id, 7, "second line")
        await until(pilot, lambda: "second line" in log_of(app))
        await until(
            pilot, lambda: app.chosen and app.chosen.progress and app.chosen.progress.percentage == 70
        )
        await pilot.press("c")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press("n", "c")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        assert hands.sql.task(task.id)["stop_requested_at"] is None
        await pilot.press("y")
        await until(pilot, lambda: hands.sql.task(task.id)["stop_requested_at"])

    use(gateway.url, key_of(gateway.home), story)


def test_a_model_is_loaded_on_the_chosen_gpu(gateway: Gateway, hands: Hands) -> None:
    def loads(gpu_id: int) -> list[dict[str, Any]]:
        """Models a GPU is asked to load; other tests' deleted models are unloaded here, too."""
        return [one for one in hands.sql.slot_report(gpu_id) if one["action"] == "load"]

    assert [*loads(0), *loads(1)] == []

    async def story(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.query_one("#gpus", Rows).row_count >= 2)
        await pilot.press("l")
        await until(pilot, lambda: isinstance(app.focused, OptionList) and app.focused.option_count)
        assert isinstance(app.screen, ChooseModel)
        place = app.screen._models[1].index(MODEL)
        await pilot.press("right", *["down"] * place, "enter")
        (command,) = await until(pilot, lambda: loads(1))
        assert command["model"] == MODEL
        assert loads(0) == []
        hands.sql.call("slot_command_done", command["command_id"], None)
        hands.sql.slot_report(1, warm_models=[MODEL])
        await until(
            pilot, lambda: any(gpu.warm_models == [MODEL] for gpu in (app._picture or PICTURE).system.gpus)
        )

    use(gateway.url, key_of(gateway.home), story)


def test_it_goes_on_after_the_gateway_was_started_again(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    database_url = postgres_server.create_database(template="mofsim_template")
    home = new_home(tmp_path, database_url)
    sql = Sql.connect(database_url)
    hands = Hands(sql, home / "storage")
    with ExitStack() as server:
        url = server.enter_context(running_gateway(home))
        with MOFSimClient(home=home) as client:
            task = client.submit_optimization("MOF-5", MODEL)
        hands.start(task.id)
        hands.report(task.id, 1, "before")

        async def story(app: Top, pilot: Pilot[None]) -> None:
            await until(pilot, lambda: "before" in log_of(app))
            await asyncio.to_thread(server.close)
            await until(pilot, lambda: "no answer" in head_of(app))
            assert app.query_one("#tasks", Rows).row_count == 1
            hands.report(task.id, 5, "meanwhile")
            await asyncio.to_thread(server.enter_context, running_gateway(home))
            await until(pilot, lambda: "no answer" not in head_of(app))
            hands.report(task.id, 6, "after")
            await until(pilot, lambda: "after" in log_of(app))
            assert [log_of(app).count(word) for word in ("before", "meanwhile", "after")] == [1, 1, 1]

        use(url, key_of(home), story)
    sql.connection.close()
    postgres_server.drop_database(database_url)
