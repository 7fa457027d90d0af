"""Context managers that are decorators too: what `tags` and `span` have in common.

A decorated generator has its scope only while one of its own steps runs. Between the steps the caller's code runs
in the same context, and would otherwise be tagged with, or stand below, work that is not its own.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

Value = TypeVar("Value")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Scope(ABC, Generic[Value]):
    """Sets a context variable for what runs inside."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens: list[tuple[Token[Value], Value]] = []

    @property
    @abstractmethod
    def variable(self) -> ContextVar[Value]:
        """The context variable; it has a default."""

    @abstractmethod
    def again(self) -> Self:
        """Return a new scope like this one, for another call of a decorated function."""

    @abstractmethod
    def value(self, outer: Value) -> Value:
        """Return what holds inside, given what holds outside."""

    def begin(self) -> None:
        """Start the work; called once, before the first step."""

    def end(self, error: BaseException | None) -> None:
        """End the work; called once."""

    def enter(self) -> None:
        """Enter one step."""
        outer = self.variable.get()
        self._tokens.append((self.variable.set(self.value(outer)), outer))

    def leave(self) -> None:
        """Leave one step."""
        token, outer = self._tokens.pop()
        try:
            self.variable.reset(token)
        except ValueError:
            # Left in another context than entered, as happens when an event loop finalises an async generator.
            self.variable.set(outer)

    def __enter__(self) -> None:
        self.begin()
        self.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        self.end(error)

    def __call__(self, function: Decorated) -> Decorated:
        """Run a function, coroutine or generator inside a scope like this one, a new one for each call."""
        if inspect.iscoroutinefunction(function):
            within = _coroutine(self, function)
        elif inspect.isasyncgenfunction(function):
            within = _async_generator(self, function)
        elif inspect.isgeneratorfunction(function):
            within = _generator(self, function)
        else:
            within = _plain(self, function)
        return cast(Decorated, functools.wraps(function)(within))


def _plain(scope: Scope[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def within(*args: Any, **kwargs: Any) -> Any:
        with scope.again():
            return function(*args, **kwargs)

    return within


def _coroutine(scope: Scope[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    async def within(*args: Any, **kwargs: Any) -> Any:
        with scope.again():
            return await function(*args, **kwargs)

    return within


def _generator(scope: Scope[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    def within(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        own, inner = scope.again(), function(*args, **kwargs)
        own.begin()
        failure: BaseException | None = None
        step, argument = inner.send, None
        try:
            while True:
                own.enter()
                try:
                    item = step(argument)
                except StopIteration as stop:
                    return stop.value
                finally:
                    own.leave()
                try:
                    step, argument = inner.send, (yield item)
                except GeneratorExit:
                    inner.close()
                    raise
                except BaseException as thrown:
                    step, argument = inner.throw, thrown
        except BaseException as error:
            failure = error
            raise
        finally:
            own.end(None if isinstance(failure, GeneratorExit) else failure)

    return within


def _async_generator(scope: Scope[Any], function: Callable[..., Any]) -> Callable[..., Any]:
    async def within(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        own, inner = scope.again(), function(*args, **kwargs)
        own.begin()
        failure: BaseException | None = None
        step, argument = inner.asend, None
        try:
            while True:
                own.enter()
                try:
                    item = await step(argument)
                except StopAsyncIteration:
                    return
                finally:
                    own.leave()
                try:
                    step, argument = inner.asend, (yield item)
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as thrown:
                    step, argument = inner.athrow, thrown
        except BaseException as error:
            failure = error
            raise
        finally:
            own.end(None if isinstance(failure, GeneratorExit) else failure)

    return within
