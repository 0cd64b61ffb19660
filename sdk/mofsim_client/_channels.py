"""Performing operations: on an `httpx.Client`, or on an `httpx.AsyncClient`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import ExitStack
from typing import Any, Generic, Self, TypeVar

import httpx
from httpx_sse import EventSource, ServerSentEvent

from mofsim_client._effects import Effect, Flow, Item, NextChunk, NextEvent, Op, Open, Request, Send, Sleep
from mofsim_client._uploads import opened

T = TypeVar("T")


def _arguments(request: Request, stack: ExitStack) -> dict[str, Any]:
    """Arguments for `build_request` of either httpx client; opened files close with `stack`."""
    arguments: dict[str, Any] = {"headers": request.headers, "params": request.query or None}
    if request.upload is not None:
        stream = stack.enter_context(opened(request.upload))
        arguments |= {"files": {"file": (request.upload.name, stream)}, "data": request.form}
    elif request.body is not None:
        arguments["json"] = request.body
    return arguments


class BlockingChannel:
    """Performs effects on an `httpx.Client`; holds at most one open stream."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self._response: httpx.Response | None = None
        self._events: Iterator[ServerSentEvent] = iter(())
        self._chunks: Iterator[bytes] = iter(())

    def perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                with ExitStack() as stack:
                    return self.http.send(self._build(request, stack))
            case Sleep(seconds):
                time.sleep(seconds)
            case Open(request, read_timeout_seconds):
                return self._open(request, read_timeout_seconds)
            case NextEvent():
                return next(self._events, None)
            case NextChunk():
                return next(self._chunks, None)
        return None

    def _build(self, request: Request, stack: ExitStack) -> httpx.Request:
        return self.http.build_request(request.method, request.path, **_arguments(request, stack))

    def _open(self, request: Request, read_timeout_seconds: float) -> httpx.Response:
        self.close()
        built = self._build(request, ExitStack())
        built.extensions["timeout"]["read"] = read_timeout_seconds
        response = self._response = self.http.send(built, stream=True)
        if response.is_error:
            response.read()
        self._events = EventSource(response).iter_sse()
        self._chunks = response.iter_bytes()
        return response

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncChannel:
    """Performs effects on an `httpx.AsyncClient`; holds at most one open stream."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self._response: httpx.Response | None = None
        self._events: AsyncIterator[ServerSentEvent]
        self._chunks: AsyncIterator[bytes]

    async def perform(self, effect: Effect) -> Any:
        match effect:
            case Send(request):
                with ExitStack() as stack:
                    return await self.http.send(self._build(request, stack))
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Open(request, read_timeout_seconds):
                return await self._open(request, read_timeout_seconds)
            case NextEvent():
                return await anext(self._events, None)
            case NextChunk():
                return await anext(self._chunks, None)
        return None

    def _build(self, request: Request, stack: ExitStack) -> httpx.Request:
        return self.http.build_request(request.method, request.path, **_arguments(request, stack))

    async def _open(self, request: Request, read_timeout_seconds: float) -> httpx.Response:
        await self.close()
        built = self._build(request, ExitStack())
        built.extensions["timeout"]["read"] = read_timeout_seconds
        response = self._response = await self.http.send(built, stream=True)
        if response.is_error:
            await response.aread()
        self._events = EventSource(response).aiter_sse()
        self._chunks = response.aiter_bytes()
        return response

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Driver(Generic[T]):
    """Steps a generator: hands it the answer to its last effect, or the error it met."""

    def __init__(self, generator: Generator[T, Any, Any]) -> None:
        self._generator = generator
        self._answer: Any = None
        self._error: Exception | None = None

    def step(self) -> T:
        answer, error = self._answer, self._error
        self._answer = self._error = None
        return self._generator.throw(error) if error is not None else self._generator.send(answer)

    def answer(self, value: Any) -> None:
        self._answer = value

    def fail(self, error: Exception) -> None:
        self._error = error


def run(operation: Op[T], http: httpx.Client) -> T:
    """Perform an operation and return its value."""
    driver = _Driver(operation)
    with BlockingChannel(http) as channel:
        while True:
            try:
                effect = driver.step()
            except StopIteration as stop:
                result: T = stop.value
                return result
            try:
                driver.answer(channel.perform(effect))
            except Exception as error:
                driver.fail(error)


async def run_async(operation: Op[T], http: httpx.AsyncClient) -> T:
    """`run`, awaited."""
    driver = _Driver(operation)
    async with AsyncChannel(http) as channel:
        while True:
            try:
                effect = driver.step()
            except StopIteration as stop:
                result: T = stop.value
                return result
            try:
                driver.answer(await channel.perform(effect))
            except Exception as error:
                driver.fail(error)


def iterate(flow: Flow[T], http: httpx.Client) -> Iterator[T]:
    """Perform a flow and yield its items."""
    driver = _Driver(flow)
    with BlockingChannel(http) as channel:
        while True:
            try:
                effect = driver.step()
            except StopIteration:
                return
            if isinstance(effect, Item):
                yield effect.value
                continue
            try:
                driver.answer(channel.perform(effect))
            except Exception as error:
                driver.fail(error)


async def iterate_async(flow: Flow[T], http: httpx.AsyncClient) -> AsyncIterator[T]:
    """`iterate`, asynchronously."""
    driver = _Driver(flow)
    async with AsyncChannel(http) as channel:
        while True:
            try:
                effect = driver.step()
            except StopIteration:
                return
            if isinstance(effect, Item):
                yield effect.value
                continue
            try:
                driver.answer(await channel.perform(effect))
            except Exception as error:
                driver.fail(error)
