"""Tags: who caused the work that runs inside, and what for.

They travel in a context variable, already under their wire names, so that a call only copies a dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, Self

import _spanledger_boot as switch

from . import faults, names
from .scope import Scope

MAX_TAG_CHARACTERS: Final = 256
_KNOWN: Final = {
    "user_id": names.USER_ID,
    "team_id": names.TEAM_ID,
    "customer_id": names.CUSTOMER_ID,
    "feature": names.FEATURE,
    "session_id": names.SESSION_ID,
    "request_type": names.REQUEST_TYPE,
}
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})

current: ContextVar[Mapping[str, str]] = ContextVar("spanledger_tags", default=_EMPTY)
"""The tags in force, by wire name."""


class tags(Scope[Mapping[str, str]]):
    """Tag every call made inside, as a context manager or as a decorator.

    Tags inside tags add up, the inner one wins; None leaves a tag as it is. Values become text of at most 256
    characters. Decorates functions, coroutines and generators of either kind; does nothing while switched off.
    """

    __slots__ = ("_given",)

    def __init__(
        self,
        *,
        user_id: object = None,
        team_id: object = None,
        customer_id: object = None,
        feature: object = None,
        session_id: object = None,
        **more: object,
    ) -> None:
        super().__init__()
        self._given: dict[str, object] = {
            "user_id": user_id,
            "team_id": team_id,
            "customer_id": customer_id,
            "feature": feature,
            "session_id": session_id,
            **more,
        }

    @property
    def variable(self) -> ContextVar[Mapping[str, str]]:
        """The tags in force."""
        return current

    def again(self) -> Self:
        """Return the same tags, for another call."""
        return type(self)(**self._given)

    def value(self, outer: Mapping[str, str]) -> Mapping[str, str]:
        """Return the outer tags with these over them."""
        return {**outer, **_on_the_wire(self._given)} if switch.on else outer


def _on_the_wire(given: Mapping[str, object]) -> dict[str, str]:
    added = {}
    for key, value in given.items():
        if value is None:
            continue
        try:
            text = str(value)[:MAX_TAG_CHARACTERS]
            # Half a surrogate pair, as bad input has it, cannot go on the wire.
            added[_KNOWN.get(key) or names.TAG_PREFIX + key] = text.encode("utf-8", "replace").decode("utf-8")
        except Exception as error:
            faults.report(f"tag {key} left out, its value has no text", error)
    return added
