"""The stream of states of our flow runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.events.clients import PrefectEventSubscriber
from prefect.events.filters import EventFilter, EventNameFilter

from api_gateway.orchestrator.runs import RunNews


@asynccontextmanager
async def run_events(api_url: str) -> AsyncIterator[AsyncIterator[RunNews]]:
    """Subscribe to the states of our runs, those of the last minute included.

    The block is entered once the subscription stands. When the server goes away the iteration
    raises or ends: the caller subscribes again and polls for what it missed, since Prefect's own
    reconnection gives up silently after a clean close.
    """
    subscriber = PrefectEventSubscriber(
        api_url=api_url,
        filter=EventFilter(event=EventNameFilter(prefix=["prefect.flow-run."])),
        reconnection_attempts=0,
    )
    async with subscriber:
        yield _news(subscriber)


async def _news(subscriber: PrefectEventSubscriber) -> AsyncIterator[RunNews]:
    async for event in subscriber:
        news = RunNews.from_event(event)
        if news is not None:
            yield news
