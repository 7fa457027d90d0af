"""Putting our part around a method of an SDK: begin before it, settle what it returned, in both colours.

Used for SDKs whose methods take plain arguments; those with request options that we may have to change have a loop of
their own. An SDK's exceptions pass as they are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

import _spanledger_boot as switch
from spanledger import faults
from spanledger.admit import admit, admit_async
from spanledger.call import Call, in_flight
from spanledger.instead import Arguments

Begin = Callable[..., Call | None]
"""Start a call from the method's arguments; None where it is none."""
Settle = Callable[[Call, Any], Any]
"""Read what the method returned, and return what its caller gets."""

_MARK: Final = "_spanledger"
REFUSED: Final[Any] = object()
"""In place of a result: the request is to be made as the application wrote it."""


def replace(owner: Any, name: str, around: Callable[[Any], Any]) -> None:
    """Put `around` a method; does nothing where that was done before."""
    plain = getattr(owner, name)
    if not hasattr(plain, _MARK):
        wrapped = functools.wraps(plain)(around(plain))
        setattr(wrapped, _MARK, True)
        setattr(owner, name, wrapped)


def around_method(begin: Begin, settle: Settle) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make what `replace` puts around a method."""

    def around(plain: Callable[..., Any]) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            call = begin(*args, **kwargs) if switch.on else None
            if call is None:
                return plain(*args, **kwargs)
            if call.admission is not None:
                admit(call)
                result = ask_instead(plain, call)
                if result is not REFUSED:
                    return settled(settle, call, result)
            token = in_flight.set(call)
            try:
                result = plain(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            finally:
                in_flight.reset(token)
            return settled(settle, call, result)

        return method

    return around


def around_coroutine(begin: Begin, settle: Settle) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make what `replace` puts around a coroutine method."""

    def around(plain: Callable[..., Any]) -> Callable[..., Any]:
        async def method(*args: Any, **kwargs: Any) -> Any:
            call = begin(*args, **kwargs) if switch.on else None
            if call is None:
                return await plain(*args, **kwargs)
            if call.admission is not None:
                await admit_async(call)
                result = await _ask_instead_async(plain, call)
                if result is not REFUSED:
                    return settled(settle, call, result)
            token = in_flight.set(call)
            try:
                result = await plain(*args, **kwargs)
            except BaseException as error:
                call.fail(error)
                raise
            finally:
                in_flight.reset(token)
            return settled(settle, call, result)

        return method

    return around


def ask_instead(plain: Callable[..., Any], call: Call) -> Any:
    """Make the request of the model that stands in; REFUSED where none does, or the provider doesn't take it."""
    if not isinstance(call.changed, Arguments):
        return REFUSED
    args, kwargs = call.changed.given
    token = in_flight.set(call)
    try:
        return plain(*args, **kwargs)
    except BaseException as error:
        if call.take_back(error):
            return REFUSED
        call.fail(error)
        raise
    finally:
        in_flight.reset(token)


async def _ask_instead_async(plain: Callable[..., Any], call: Call) -> Any:
    if not isinstance(call.changed, Arguments):
        return REFUSED
    args, kwargs = call.changed.given
    token = in_flight.set(call)
    try:
        return await plain(*args, **kwargs)
    except BaseException as error:
        if call.take_back(error):
            return REFUSED
        call.fail(error)
        raise
    finally:
        in_flight.reset(token)


def settled(settle: Settle, call: Call, result: Any) -> Any:
    """Settle a call; a fault costs its usage, and the caller gets what the method returned."""
    try:
        return settle(call, result)
    except Exception as error:
        faults.report("response recorded without its usage", error)
        call.finish()
        return result


def count_attempt(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Put around what an SDK does once per HTTP request, first or repeated."""

    def once(*args: Any, **kwargs: Any) -> Any:
        _count()
        return plain(*args, **kwargs)

    async def once_async(*args: Any, **kwargs: Any) -> Any:
        _count()
        return await plain(*args, **kwargs)

    # What retries a coroutine function asks whether it is one.
    return once_async if inspect.iscoroutinefunction(plain) else once


def _count() -> None:
    call = in_flight.get()
    if call is not None:
        call.leaves()


def read_whole(call: Call, result: Any) -> Any:
    """Settle a call whose result is all there is."""
    call.read(result)
    return result
