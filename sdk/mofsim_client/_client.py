"""The two clients: the same calls, blocking or awaited."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import httpx

from mofsim_client._methods import Asynchronous, Blocking
from mofsim_client._model_calls import CustomModelCalls, ModelCalls
from mofsim_client._structure_calls import StructureCalls
from mofsim_client._system_calls import AlertCalls, SystemCalls
from mofsim_client._task_calls import TaskCalls
from mofsim_client._wait_calls import WaitCalls


class Calls(TaskCalls, WaitCalls, StructureCalls, ModelCalls, CustomModelCalls, SystemCalls, AlertCalls):
    """Every call of the service, written once."""


class MOFSimClient(Calls, Blocking):
    """Client whose calls block; its tasks can be awaited too.

    Parameters
    ----------
    base_url
        Address of the server; else `MOFSIM_BASE_URL`, else the local stack's.
    api_key
        Key; else `MOFSIM_API_KEY`, else the local stack's admin key.
    home
        Home folder of a local stack; else `MOFSIM_HOME`, else `~/.mofsim`.
    language
        Language of the server's messages, `en` or `zh`.
    timeout_seconds
        Longest silence of the server in one request, s.
    max_retries
        Tries after the first, on connection errors, 429 and 503.

    Examples
    --------
    >>> with MOFSimClient() as client:
    ...     result = client.submit_optimization("mof.cif", "sevennet_prod").wait()
    """

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(**self.connection.http_arguments())

    @property
    def _blocking_http(self) -> httpx.Client:
        return self._http

    def _new_async_http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**self.connection.http_arguments())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncMOFSimClient(Calls, Asynchronous):
    """Client whose calls are awaited; takes what `MOFSimClient` takes.

    Examples
    --------
    >>> async with AsyncMOFSimClient() as client:
    ...     task = await client.submit_optimization("mof.cif", "sevennet_prod")
    ...     result = await task
    """

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**self.connection.http_arguments())

    @property
    def _async_http(self) -> httpx.AsyncClient:
        return self._http

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
