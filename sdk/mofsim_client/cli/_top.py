"""`top`."""

from __future__ import annotations

import typer

from mofsim_client import AsyncMOFSimClient, MissingPackageError
from mofsim_client.cli._context import context_of


def top(ctx: typer.Context) -> None:
    """Watch the service on one screen: GPUs, queue, tasks and their logs; steer it by keys."""
    try:
        from mofsim_client.top import Top
    except ImportError as error:
        raise MissingPackageError("`mofsim top` needs Textual: pip install 'mofsim-client[top]'.") from error
    context = context_of(ctx)
    # Without retries an outage is seen at once; the screen itself goes on asking.
    client = AsyncMOFSimClient(context.url, home=context.home, language=context.language, max_retries=0)
    Top(client).run()
