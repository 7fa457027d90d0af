"""Tags: who caused the work that runs inside, and what for.

They travel in a context variable, already under their wire names, so that a call only copies a dictionary. Their
number is bounded, and so is that of the keys: a user's id as a key, instead of as a value, would be a column of its own
for every user.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, Self

import _spanledger_boot as switch

from . import faults, names
from .errors import SettingError
from .scope import Scope

MAX_TAG_CHARACTERS: Final = 256
MAX_OWN_TAGS: Final = 32
"""Most tags of one call besides the known ones."""
MAX_OWN_KEYS: Final = 256
"""Most different keys of a process besides the known ones."""
OWN_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
KNOWN: Final = {
    "user_id": names.USER_ID,
    "team_id": names.TEAM_ID,
    "customer_id": names.CUSTOMER_ID,
    "feature": names.FEATURE,
    "session_id": names.SESSION_ID,
    "request_type": names.REQUEST_TYPE,
}
NONE: Final[Mapping[str, str]] = MappingProxyType({})

current: ContextVar[Mapping[str, str]] = ContextVar("spanledger_tags", default=NONE)
"""The tags in force, by wire name."""

_wire_names: dict[str, str] = dict(KNOWN)
"""Key to wire name, of every key that was let in so far."""
_in_use = False
"""Whether what must know of tags has been told, since the switch was turned on."""


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
        if not switch.on:
            return outer
        if not _in_use:
            begin_use()
        own = _on_the_wire(self._given)
        inner = {**outer, **own}
        if names.TAGS_FROM_BAGGAGE in outer:
            _unmark(inner, own)
        return inner if len(inner) <= MAX_OWN_TAGS else _bounded(inner)


def begin_use() -> None:
    """Have threads, thread pools and listed hosts get tags; the first tags or step does that, not the start."""
    global _in_use
    if _in_use:
        return
    _in_use = True
    try:
        importlib.import_module(".threads", __package__).install()
        # Not imported before: a program that is not traced pays for its tags alone.
        found = importlib.import_module(".settings", __package__).load()
        if found.propagate_to:
            importlib.import_module(".propagation", __package__).install(found)
    except SettingError as error:
        # Not raised into the application's work; `ledger.start` switches off because of others.
        faults.report("tags are not sent on", error, expected=True)
    except Exception as error:
        faults.report("tags stay in the thread that set them", error)


def end_use() -> None:
    """Undo `begin_use`: the switch is turned off, or the settings change."""
    global _in_use
    _in_use = False
    for name in ("threads", "propagation"):
        module = sys.modules.get(f"{__package__}.{name}")
        if module is not None:
            module.restore()


def wire_name(key: str) -> str | None:
    """Return the wire name of a tag, or None where it can have none; counts what is left out."""
    return _wire_names.get(key) or _let_in(key)


def _unmark(tags: dict[str, str], own: Mapping[str, str]) -> None:
    """Take the tags that were given here off the list of those that came as baggage."""
    left = ",".join(name for name in tags.pop(names.TAGS_FROM_BAGGAGE).split(",") if name not in own)
    if left:
        tags[names.TAGS_FROM_BAGGAGE] = left


def _on_the_wire(given: Mapping[str, object]) -> dict[str, str]:
    added = {}
    for key, value in given.items():
        if value is None:
            continue
        name = _wire_names.get(key) or _let_in(key)
        if name is None:
            continue
        try:
            text = str(value)[:MAX_TAG_CHARACTERS]
            # Half a surrogate pair, as bad input has it, cannot go on the wire.
            added[name] = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        except Exception as error:
            faults.report("tag left out, its value has no text", error)
    return added


def _let_in(key: str) -> str | None:
    """Return the wire name of a key that is new here, or None where it is one too many or no key."""
    if not OWN_KEY.fullmatch(key):
        faults.report("tag left out", "a key is 1 to 64 letters, digits, dots, dashes or underscores", expected=True)
        return None
    if len(_wire_names) >= len(KNOWN) + MAX_OWN_KEYS:
        faults.report("tag left out", f"more than {MAX_OWN_KEYS} different keys in this process", expected=True)
        return None
    name = _wire_names[key] = names.TAG_PREFIX + key
    return name


def _bounded(tags: dict[str, str]) -> dict[str, str]:
    """Return tags without those of their own beyond the most that a call may have; the outer ones stay."""
    own = [name for name in tags if name.startswith(names.TAG_PREFIX)]
    beyond = own[MAX_OWN_TAGS:]
    if beyond:
        faults.report("tag left out", f"more than {MAX_OWN_TAGS} of a call", count=len(beyond), expected=True)
    for name in beyond:
        del tags[name]
    return tags
