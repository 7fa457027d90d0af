"""The openai SDK's websockets: where events pass, in both directions.

Connections of either colour parse what they receive in `parse_event`, so that is where they are watched; what is under
way on one stands in `openai_connection`.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import _spanledger_boot as switch
from spanledger import faults
from spanledger.errors import Refusal

from .openai_connection import Connection
from .wrapping import replace

_CLASSES: Final = (
    "RealtimeConnection",
    "AsyncRealtimeConnection",
    "ResponsesConnection",
    "AsyncResponsesConnection",
    "LiveConnection",
    "AsyncLiveConnection",
)
_KEY: Final = "_spanledger_live"


def wrap(module: ModuleType) -> None:
    """Watch the connections that a module of the SDK defines."""
    for name in _CLASSES:
        kind = getattr(module, name, None)
        if kind is not None and hasattr(kind, "parse_event"):
            is_async = name.startswith("Async")
            replace(kind, "parse_event", _around_parse)
            replace(kind, "send", _around_async(_say) if is_async else _around(_say))
            replace(kind, "close", _around_async(_end) if is_async else _around(_end))


def _live(connection: Any) -> Connection:
    found = connection.__dict__.get(_KEY)
    if found is None:
        found = connection.__dict__[_KEY] = Connection(connection)
        weakref.finalize(connection, found.end).atexit = False
    return found  # type: ignore[no-any-return]


def _say(connection: Any, event: object = None, *_args: object, **_options: object) -> None:
    _live(connection).say(event)


def _end(connection: Any, *_args: object, **_options: object) -> None:
    live = connection.__dict__.get(_KEY)
    if live is not None:
        live.end(getattr(connection._connection, "close_code", None))


def _guarded(step: Callable[..., None], *args: Any, **options: Any) -> None:
    if switch.on:
        try:
            step(*args, **options)
        except Refusal:
            raise
        except Exception as error:
            faults.report("an event of a live connection is not understood", error)


def _around_parse(plain: Callable[..., Any]) -> Callable[..., Any]:
    def parse_event(connection: Any, *args: Any, **options: Any) -> Any:
        event = plain(connection, *args, **options)
        if switch.on:
            try:
                _live(connection).hear(event)
            except Exception as error:
                faults.report("an event of a live connection is not understood", error)
        return event

    return parse_event


def _around(step: Callable[..., None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(plain: Callable[..., Any]) -> Callable[..., Any]:
        def method(connection: Any, *args: Any, **options: Any) -> Any:
            _guarded(step, connection, *args, **options)
            return plain(connection, *args, **options)

        return method

    return around


def _around_async(step: Callable[..., None]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        async def method(connection: Any, *args: Any, **options: Any) -> Any:
            _guarded(step, connection, *args, **options)
            return await plain(connection, *args, **options)

        return method

    return around
