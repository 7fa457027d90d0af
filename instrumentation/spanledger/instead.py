"""A request that rules of the policy may have made of another model, and what an SDK's module has to bring for that.

Nothing that the application holds is changed: a body, or the arguments of a method, are made anew, so that the request
is there as it was written when the provider doesn't take the other one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

_REFUSED: Final = frozenset({400, 404, 422})
_NO_ACCESS: Final = {"aws.bedrock": 403}
"""Provider that grants access for each model to the status of a request for one that is not granted."""
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Changeable(Protocol):
    """A request that can ask for another model."""

    def ask_for(self, asked: str, model: str, drop: Sequence[str]) -> str | None:
        """Ask for `model` in place of `asked`, without some parameters; why that can't be done, or None."""
        ...

    def ask_as_written(self) -> None:
        """Ask for what the application asked for."""
        ...


class Options:
    """A request of an SDK with `FinalRequestOptions`, which has the model in its body."""

    __slots__ = ("_options", "_written")

    def __init__(self, options: Any) -> None:
        self._options = options
        self._written: tuple[Any, Any] | None = None
        """The request's body, and what is added to it, before another model was asked for."""

    def ask_for(self, asked: str, model: str, drop: Sequence[str]) -> str | None:
        """Put another model into the body."""
        options = self._options
        body, extra = options.json_data, getattr(options, "extra_json", None)
        if not isinstance(body, Mapping) or body.get("model") != asked:
            return "the request has its model elsewhere than in its body"
        if self._written is None:
            self._written = body, extra
        options.json_data = {**without(body, drop), "model": model}
        if isinstance(extra, Mapping):
            options.extra_json = without(extra, drop)
        return None

    def ask_as_written(self) -> None:
        """Put the body back."""
        if self._written is not None:
            self._options.json_data, extra = self._written
            if extra is not None:
                self._options.extra_json = extra
            self._written = None


Given: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""Arguments of a method: by place and by name."""
Instead: TypeAlias = Callable[[Given, str, Sequence[str]], "Given | str"]
"""Make arguments that ask for another model, without some parameters, of those that there are; or say why not."""


class Arguments:
    """The arguments of an SDK's method; whoever calls it keeps those that the application gave."""

    __slots__ = ("_instead", "given")

    def __init__(self, given: Given, instead: Instead) -> None:
        self.given = given
        self._instead = instead

    def ask_for(self, asked: str, model: str, drop: Sequence[str]) -> str | None:
        """Make arguments that ask for another model."""
        made = self._instead(self.given, model, drop)
        if isinstance(made, str):
            return made
        self.given = made
        return None

    def ask_as_written(self) -> None:
        """Do nothing: the application's arguments are as they were."""


def refuses(provider: str, status: int | None) -> bool:
    """Tell whether a provider refused what it was asked for: another model may be there, and take it."""
    return status is not None and (status in _REFUSED or status == _NO_ACCESS.get(provider))


def without(body: Mapping[str, Any], drop: Collection[str]) -> dict[str, Any]:
    """Return a body without some parameters, `top_p` and `topP` being the same one."""
    left_out = spelt(drop)
    return {key: value for key, value in body.items() if key not in left_out and parameter(key) not in left_out}


def with_places(drop: Sequence[str]) -> Sequence[str]:
    """Return parameters that are left out, and what can't be there without them: how tools are used, without tools."""
    return (*drop, "tool_config") if "tools" in drop else drop


def spelt(drop: Collection[str]) -> frozenset[str]:
    """Return the names of parameters as they are written, and as Python writes them."""
    return frozenset((*drop, *map(parameter, drop)))


def parameter(name: str) -> str:
    """Return a parameter's name as Python writes it: Google and Amazon write `topP` on the wire."""
    return _HUMP.sub("_", name).lower()
