"""`call` and `stream` for what returns tasks: a `Task` on one client, an `AsyncTask` on the other."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from difflib import get_close_matches
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload

from mofsim_client._effects import Flow, Op
from mofsim_client._methods import Asynchronous, Blocking, Method, Stream
from mofsim_client._tasks import AsyncTask, Task, TaskBase
from mofsim_client.requests import Submission
from mofsim_client.results import Result

P = ParamSpec("P")
R = TypeVar("R", bound=Result)


class submits(Method[P, Any], Generic[P, R]):  # noqa: N801 - used like a decorator
    """A method with the arguments of a `Submission` class, which submits it."""

    def __init__(self, kind: Callable[P, Submission[R]]) -> None:
        def submit(client: Any, /, *args: P.args, **kwargs: P.kwargs) -> Op[Any]:
            check_arguments(kind, kwargs)
            operation: Op[Any] = client._submit_operation(kind(*args, **kwargs))
            return operation

        super().__init__(submit)
        self.__doc__ = kind.__doc__
        self._kind = kind

    def _signature(self) -> inspect.Signature:
        return inspect.signature(self._kind).replace(return_annotation=inspect.Signature.empty)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, Task[R]]: ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type[Any]
    ) -> Callable[P, Coroutine[Any, Any, AsyncTask[R]]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else self._called(instance)


class task_call(Method[P, Op[Any]], Generic[P]):  # noqa: N801 - a decorator
    """`call` for an operation that returns a task."""

    def __init__(self, function: Callable[Concatenate[Any, P], Op[TaskBase[Any]]]) -> None:
        super().__init__(function)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, Task[Any]]: ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type[Any]
    ) -> Callable[P, Coroutine[Any, Any, AsyncTask[Any]]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else self._called(instance)


class tasks_call(Method[P, Op[Any]], Generic[P]):  # noqa: N801 - a decorator
    """`call` for an operation that returns a list of tasks."""

    def __init__(self, function: Callable[Concatenate[Any, P], Op[list[TaskBase[Any]]]]) -> None:
        super().__init__(function)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, list[Task[Any]]]: ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type[Any]
    ) -> Callable[P, Coroutine[Any, Any, list[AsyncTask[Any]]]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else self._called(instance)


class task_stream(Method[P, Flow[Any]], Generic[P]):  # noqa: N801 - a decorator
    """`stream` for a flow of tasks."""

    def __init__(self, function: Callable[Concatenate[Any, P], Flow[TaskBase[Any]]]) -> None:
        super().__init__(function)

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Self: ...
    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, Stream[Task[Any]]]: ...
    @overload
    def __get__(
        self, instance: Asynchronous, owner: type[Any]
    ) -> Callable[P, AsyncIterator[AsyncTask[Any]]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self if instance is None else self._iterated(instance)


def check_arguments(kind: Callable[..., Submission[Any]], names: Iterable[str]) -> None:
    """Refuse an argument the calculation does not take, with the nearest one it does.

    Raises
    ------
    TypeError
        As Python does for an unexpected keyword.
    """
    known = list(inspect.signature(kind).parameters)
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes: {', '.join(known)}."
            raise TypeError(f"{getattr(kind, '__name__', kind)} takes no argument {name!r}; {hint}")
