"""Watching a stream that the application reads, without standing between it and the SDK's own objects.

A parsed stream is watched at its `_iterator`, which the SDKs' own helpers replace in the same way. A raw response is
watched at its decoded bytes, because nobody knows yet how it will be read. Nothing here may hold a response from a
function that the response holds: such a cycle would keep an abandoned connection open until the next collection.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Any

from . import faults
from .bodies import Body, Events
from .listening import Listener, Reader


def watch(stream: Any, call: Listener, *, asynchronous: bool) -> None:
    """Watch a parsed stream of an SDK."""
    inner = stream._iterator
    stream._iterator = _AsyncWatched(inner, call) if asynchronous else _SyncWatched(inner, call)
    call.remember()
    _on_close(stream.response.stream, call, asynchronous)


def watch_iterator(events: Iterator[Any], call: Listener) -> Iterator[Any]:
    """Watch what only an SDK's own code iterates over."""
    call.remember()
    return _SyncWatched(events, call)


def watch_async_iterator(events: AsyncIterator[Any], call: Listener) -> AsyncIterator[Any]:
    """Watch what only an SDK's own code iterates over, asynchronously."""
    call.remember()
    return _AsyncWatched(events, call)


def watch_closing(source: Any, call: Listener) -> None:
    """Finish `call` when a byte stream is closed."""
    _on_close(source, call, asynchronous=False)


def watch_body(source: Any, call: Listener) -> None:
    """Watch a byte stream that the application reads as one body, by its `read`, and closes or drops."""
    kind: type = type(source)
    source._spanledger_call = call
    source._spanledger_body = Body(call)
    source.__class__ = _reading(kind)
    call.remember()


def watch_raw(response: Any, call: Listener, *, asynchronous: bool, reader: Reader | None = None) -> None:
    """Watch an HTTP response that the application reads by itself; `reader` where it is neither events nor JSON."""
    reader = reader or (Events(call) if call.stream else Body(call))
    (_tap_async if asynchronous else _tap)(response, call, reader)
    call.remember()
    weakref.finalize(response, call.abandoned).atexit = False
    _on_close(response.stream, call, asynchronous)


def tap(response: Any, listener: Listener, reader: Reader, *, asynchronous: bool) -> None:
    """Have `reader` see the decoded bytes of an HTTP response as the application reads them."""
    (_tap_async if asynchronous else _tap)(response, listener, reader)


def tap_iterator(source: Any, listener: Listener, reader: Reader, *, asynchronous: bool) -> Any:
    """Return an iterator of bytes that `reader` sees as they pass."""
    return (_passing_async if asynchronous else _passing)(source, listener, reader)


class _Inside:
    """Marks that the application waits for the next event, and ends the call when there is none."""

    __slots__ = ("_call",)

    def __init__(self, call: Listener) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._call.inside = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._call.inside = False
        else:
            self._call.leave(error)


class _Watched:
    """Stands in for a stream's iterator: the same items, except an event that only we asked for."""

    __slots__ = ("_call", "_inner")

    def __init__(self, inner: Any, call: Listener) -> None:
        self._inner = inner
        self._call = call

    def __getattr__(self, name: str) -> Any:
        if name in _Watched.__slots__:
            raise AttributeError(name)  # half made: Ctrl-C came in between, or somebody copies it
        return getattr(self._inner, name)

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None:
            call.abandoned()


class _SyncWatched(_Watched):
    """The iterator of a synchronous stream."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        # In line, and not by `_Inside`: this runs for every piece of text that a model writes.
        call = self._call
        call.inside = True
        try:
            item = next(self._inner)
            while not call.hear(item):
                item = next(self._inner)
        except BaseException as error:
            call.leave(error)
            raise
        call.inside = False
        return item

    def close(self) -> None:
        """Close the iterator as the SDK would."""
        close = getattr(self._inner, "close", None)
        if close is not None:
            close()
        self._call.closed()


class _AsyncWatched(_Watched):
    """The iterator of an asynchronous stream."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        call = self._call
        call.inside = True
        try:
            item = await anext(self._inner)
            while not call.hear(item):
                item = await anext(self._inner)
        except BaseException as error:
            call.leave(error)
            raise
        call.inside = False
        return item

    async def aclose(self) -> None:
        """Close the iterator as the SDK would."""
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()
        self._call.closed()


def _tap(response: Any, call: Listener, reader: Reader) -> None:
    plain, alive = type(response).iter_bytes, weakref.ref(response)

    def iter_bytes(*args: Any, **kwargs: Any) -> Iterator[bytes]:
        return _passing(plain(alive(), *args, **kwargs), call, reader)

    response.iter_bytes = iter_bytes


def _tap_async(response: Any, call: Listener, reader: Reader) -> None:
    plain, alive = type(response).aiter_bytes, weakref.ref(response)

    def aiter_bytes(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        return _passing_async(plain(alive(), *args, **kwargs), call, reader)

    response.aiter_bytes = aiter_bytes


def _passing(source: Iterator[bytes], call: Listener, reader: Reader) -> Iterator[bytes]:
    inside = _Inside(call)
    while True:
        with inside:
            data = next(source, None)
        if data is None:
            break
        if passed := _guarded(reader.feed, data):
            yield passed
    if rest := _guarded(reader.end):
        yield rest


async def _passing_async(source: AsyncIterator[bytes], call: Listener, reader: Reader) -> AsyncIterator[bytes]:
    inside = _Inside(call)
    while True:
        with inside:
            data = await anext(source, None)
        if data is None:
            break
        if passed := _guarded(reader.feed, data):
            yield passed
    if rest := _guarded(reader.end):
        yield rest


def _guarded(step: Callable[..., bytes], *data: bytes) -> bytes:
    try:
        return step(*data)
    except Exception as error:
        faults.report("raw response recorded without its usage", error)
        return data[0] if data else b""


def _on_close(source: Any, call: Listener, asynchronous: bool) -> None:
    """Finish `call` when the connection is released, whichever of the SDK's objects does it.

    The byte stream below the response gets a class of its own that adds just this: an attribute that holds a
    function would need the stream to call it, and so be a cycle.
    """
    try:
        source._spanledger_call = call
        kind: type = type(source)
        source.__class__ = _closing_async(kind) if asynchronous else _closing(kind)
    except (AttributeError, TypeError) as error:
        faults.report("a closed stream is recorded only when it is dropped", error)


@lru_cache(maxsize=16)
def _closing(kind: type) -> type:
    def close(self: Any) -> None:
        try:
            kind.close(self)  # type: ignore[attr-defined]
        finally:
            self._spanledger_call.closed()

    return type(kind.__name__, (kind,), {"close": close, "__module__": kind.__module__})


@lru_cache(maxsize=16)
def _closing_async(kind: type) -> type:
    async def aclose(self: Any) -> None:
        try:
            await kind.aclose(self)  # type: ignore[attr-defined]
        finally:
            self._spanledger_call.closed()

    return type(kind.__name__, (kind,), {"aclose": aclose, "__module__": kind.__module__})


@lru_cache(maxsize=16)
def _reading(kind: type) -> type:
    closing = _closing(kind)

    def read(self: Any, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        call: Listener = self._spanledger_call
        call.inside = True
        try:
            data: bytes = kind.read(self, amt, *args, **kwargs)  # type: ignore[attr-defined]
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            call.inside = False
        if data:
            _guarded(self._spanledger_body.feed, data)
        if amt is None or amt < 0 or (amt and not data):
            _guarded(self._spanledger_body.end)
        return data

    return type(kind.__name__, (closing,), {"read": read, "__module__": kind.__module__})
