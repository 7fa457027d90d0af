"""A method of a base class that others have put theirs around already, on a subclass, before we came."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import wrapt

from spanledger.sdks.inherited import replace_everywhere


def _make() -> tuple[type[Any], type[Any], list[str]]:
    """Return a base class as an SDK has it, its client, and what happened in calls."""
    heard: list[str] = []

    class Base:
        def request(self, number: int) -> int:
            heard.append("sdk")
            return number + 1

    class Client(Base):
        pass

    return Base, Client, heard


def _ours(heard: list[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(plain: Callable[..., Any]) -> Callable[..., Any]:
        def request(*args: Any, **kwargs: Any) -> Any:
            heard.append("ours")
            return plain(*args, **kwargs)

        return request

    return around


def test_ours_goes_inside_what_wrapt_put_on_a_subclass() -> None:
    base, client, heard = _make()

    def theirs(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        heard.append("theirs")
        return wrapped(*args, **kwargs)

    client.request = wrapt.FunctionWrapper(base.request, theirs)
    replace_everywhere(base, "request", _ours(heard))
    assert (client().request(1), heard) == (2, ["theirs", "ours", "sdk"])


def test_ours_goes_inside_a_closure_on_a_subclass() -> None:
    base, client, heard = _make()
    plain = base.request

    @functools.wraps(plain)
    def theirs(*args: Any) -> Any:
        heard.append("theirs")
        return plain(*args)

    client.request = theirs
    replace_everywhere(base, "request", _ours(heard))
    assert (client().request(1), heard) == (2, ["theirs", "ours", "sdk"])


def test_ours_goes_around_any_other_wrapper() -> None:
    base, client, heard = _make()

    kept = {"plain": base.request}

    @functools.wraps(base.request)
    def theirs(*args: Any) -> Any:
        heard.append("theirs")
        return kept["plain"](*args)

    client.request = theirs
    replace_everywhere(base, "request", _ours(heard))
    assert (client().request(1), heard) == (2, ["ours", "theirs", "sdk"])


def test_a_subclass_that_goes_on_by_super_is_seen_once() -> None:
    base, client, heard = _make()

    class Azure(client):  # type: ignore[misc,valid-type]
        def request(self, number: int) -> int:
            return int(super().request(number * 10))

    replace_everywhere(base, "request", _ours(heard))
    assert (Azure().request(1), heard) == (11, ["ours", "sdk"])
    replace_everywhere(base, "request", _ours(heard))
    heard.clear()
    assert (Azure().request(1), heard) == (11, ["ours", "sdk"])
