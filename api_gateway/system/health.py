"""Is each part there, and how fast does it answer?"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text

from api_gateway import __version__
from api_gateway.errors import DatabaseUnavailableError
from api_gateway.services import Services
from api_gateway.system import repository
from api_gateway.system.schemas import Component, Health, State

_ANSWER_SECONDS = 2.0


async def check(services: Services) -> Health:
    """Ask every component at the same time."""
    questions = {
        "database": _database(services),
        "prefect": _prefect(services),
        "dask": _dask(services),
        "worker": _worker(services),
        "slots": _slots(services),
        "storage": _storage(services),
    }
    answers = await asyncio.gather(*map(_timed, questions.values()))
    components = dict(zip(questions, answers, strict=True))
    status: State = "ok"
    if components["database"].state == "down":
        status = "down"
    elif any(component.state != "ok" for component in components.values()):
        status = "degraded"
    return Health(status=status, components=components, version=__version__)


async def _timed(question: Awaitable[Component]) -> Component:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            component = await question
    except TimeoutError:
        return Component(state="down", detail=f"no answer within {_ANSWER_SECONDS:.0f} s")
    except Exception as error:
        # Whatever it is, a health check must answer; addresses and texts stay inside.
        return Component(state="down", detail=type(error).__name__)
    component.latency_ms = round((time.perf_counter() - started) * 1000, 1)
    return component


async def _database(services: Services) -> Component:
    async with services.database.reading() as session:
        await session.execute(text("SELECT 1"))
    return Component(state="ok")


async def _prefect(services: Services) -> Component:
    url = services.settings.prefect.api_url
    if not url:
        return Component(state="down", detail="not configured")
    response = await services.prefect_http.get(f"{url.rstrip('/')}/health", timeout=_ANSWER_SECONDS)
    if response.status_code != 200:
        return Component(state="down", detail=f"answered {response.status_code}")
    return Component(state="ok")


async def _slots(services: Services) -> Component:
    settings = services.settings
    async with services.database.reading() as session:
        slots = await repository.slots(session)
    well = [
        slot
        for slot in slots
        if repository.is_alive(slot, settings.scheduling.lost_after_seconds) and slot.report.get("ok")
    ]
    expected = settings.compute.slots
    state: State = "ok" if len(well) >= expected else "degraded" if well else "down"
    return Component(state=state, detail=f"{len(well)} of {expected} GPU slots report")


async def _dask(services: Services) -> Component:
    """The scheduler takes connections."""
    address = urlsplit(services.settings.dask.scheduler_address)
    if not address.hostname or not address.port:
        return Component(state="down", detail="not configured")
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.close()
    return Component(state="ok")


async def _worker(services: Services) -> Component:
    """A pool worker has said lately that it lives."""
    lost_after = services.settings.scheduling.lost_after_seconds
    async with services.database.reading() as session:
        ages = await repository.worker_silences(session)
    alive = sum(age < lost_after for age in ages)
    state: State = "down" if not alive else "degraded" if alive < len(ages) else "ok"
    return Component(state=state, detail=f"{alive} of {max(len(ages), 1)} pool workers report")


async def _storage(services: Services) -> Component:
    """The storage can be written, and has room."""
    root = services.settings.storage_root
    free = await asyncio.to_thread(_write_and_measure, root)
    low = free < services.settings.alerts.disk_free_GB
    return Component(state="degraded" if low else "ok", detail=f"{free:.0f} GB free")


def _write_and_measure(root: Path) -> float:
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root) as probe:
        probe.write(b"mofsim")
    return shutil.disk_usage(root).free / 1e9


async def must_be_ready(services: Services) -> None:
    """Raises `DatabaseUnavailableError` while requests cannot be served."""
    component = await _timed(_database(services))
    if component.state == "down":
        raise DatabaseUnavailableError("The database does not answer")
