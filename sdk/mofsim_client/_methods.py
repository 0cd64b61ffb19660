"""One operation as two methods: descriptors that shape it by the object it is called on.

`call` and `stream` turn an operation written once into a plain method on a `Blocking` object and
into a coroutine or asynchronous iterator on an `Asynchronous` one, with its signature kept for type
checkers, editors and `help()`.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from mofsim_client._channels import iterate, iterate_async, run, run_async
from mofsim_client._effects import Flow, Op

T = TypeVar("T")
P = ParamSpec("P")


class Blocking(ABC):
    """An object whose calls block."""

    @property
    @abstractmethod
    def _blocking_http(self) -> httpx.Client: ...

    @abstractmethod
    def _new_async_http(self) -> httpx.AsyncClient: ...


class Asynchronous(ABC):
    """An object whose calls are awaited."""

    @property
    @abstractmethod
    def _async_http(self) -> httpx.AsyncClient: ...


class Stream(Generic[T]):
    """Items as they arrive: `for` blocks between them, `async for` awaits them.

    Both work on the stream of a blocking client; each iteration starts a stream of its own.
    """

    def __init__(self, flow: Callable[[], Flow[T]], owner: Blocking) -> None:
        self._flow = flow
        self._owner = owner

    def __iter__(self) -> Iterator[T]:
        return iterate(self._flow(), self._owner._blocking_http)

    async def __aiter__(self) -> AsyncIterator[T]:
        async with self._owner._new_async_http() as http:
            async for item in iterate_async(self._flow(), http):
                yield item


class Method(Generic[P, T]):
    """A generator function as a descriptor; its subclasses say what it looks like from outside."""

    def __init__(self, function: Callable[Concatenate[Any, P], T]) -> None:
        self.function = function
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.__name__ = name

    def _called(self, instance: Any) -> Any:
        """Blocking on a blocking object, a coroutine function on an asynchronous one."""

        def blocking(*args: Any, **kwargs: Any) -> Any:
            return run(self._start(instance, *args, **kwargs), instance._blocking_http)

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await run_async(self._start(instance, *args, **kwargs), instance._async_http)

        return self._dressed(blocking if isinstance(instance, Blocking) else awaited)

    def _iterated(self, instance: Any) -> Any:
        """A `Stream` on a blocking object, an asynchronous iterator on an asynchronous one."""

        def blocking(*args: Any, **kwargs: Any) -> Any:
            return Stream(lambda: self._start(instance, *args, **kwargs), instance)

        def awaited(*args: Any, **kwargs: Any) -> Any:
            return iterate_async(self._start(instance, *args, **kwargs), instance._async_http)

        return self._dressed(blocking if isinstance(instance, Blocking) else awaited)

    def _start(self, instance: Any, *args: Any, **kwargs: Any) -> Any:
        function: Callable[..., Any] = self.function
        return function(instance, *args, **kwargs)

    def _signature(self) -> inspect.Signature:
        """The signature without `self`."""
        signature = inspect.signature(self.function)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def _dressed(self, method: Any) -> Any:
        """Let `help()` and notebooks see the name, the documentation and the arguments."""
        method.__name__ = method.__qualname__ = self.__name__
        method.__doc__ = self.__doc__
        method.__signature__ = self._signature()
        return method


class call(Method[P, Op[T]], Generic[P, T]):  # noqa: N801 - a decorator
    """Make an operation a method: blocking on a blocking object, a coroutine otherwise."""

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else self._called(instance)


class stream(Method[P, Flow[T]], Generic[P, T]):  # noqa: N801 - a decorator
    """Make a flow a method that returns a `Stream`, or an asynchronous iterator."""

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, Stream[T]]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: type[Any]) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else self._iterated(instance)
