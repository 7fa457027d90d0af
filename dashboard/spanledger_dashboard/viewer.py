"""Who looks at the page, and what they may see; where nobody has to log in, everything.

Whatever isn't as it should be, a claim that is missing, of another shape or too old, shows nothing. It is asked anew
for every page and every part that is drawn by itself, because a page may stay open longer than a login holds.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import streamlit as st

from spanledger.errors import SpanledgerError
from spanledger_analytics.errors import ScopeError
from spanledger_analytics.scope import EVERYTHING, TEAM, Scope, scope_of_teams

from .format import markdown, visible
from .login import FLAG, Access

_SKEW: Final = timedelta(minutes=5)
"""How far the provider's clock may be ahead."""
_NOTICE_PX: Final = 420
_LONGEST_NAME: Final = 80
_NAMED: Final = 5
"""Teams that are named; of more only the number is."""


class NoAccessError(SpanledgerError):
    """Nobody is logged in, or who is may see nothing; the message is for them."""

    def __init__(self, message: str, *, log_in: bool) -> None:
        self.log_in = log_in
        """Whether logging in helps."""
        super().__init__(message)


def shown_scope() -> Scope:
    """Return what whoever looks at the page may see.

    Raises:
        NoAccessError: nothing.
    """
    access = _access()
    return EVERYTHING if access is None else scope_of(_claims(), access, datetime.now(UTC))


def scope_of(claims: Mapping[str, object], access: Access, now: datetime) -> Scope:
    """Return what the claims of a login let somebody see.

    Raises:
        NoAccessError: they are no login, one that is over, or name no team.
    """
    if claims.get("is_logged_in") is not True:
        raise NoAccessError("Log in to see what your teams spend.", log_in=True)
    since = _since(claims.get("iat"))
    if since is None or not now - timedelta(hours=access.hours) < since <= now + _SKEW:
        raise NoAccessError("Your login is over.", log_in=True)
    teams = _teams(_found(claims, access.claim))
    whom = access.contact or "whoever runs this dashboard"
    if not teams:
        raise NoAccessError(
            f"Your login ({_name(claims)}) names no team, so there is nothing that you may see. "
            f"Ask {whom} for the claim {access.claim}.",
            log_in=False,
        )
    if access.everything and access.everything in teams:
        return EVERYTHING
    try:
        return scope_of_teams(teams)
    except ScopeError:
        raise NoAccessError(f"Your login names a team without a name. Ask {whom}.", log_in=False) from None


def admit() -> bool:
    """Say whether whoever looks may see a page; if not, tell them why, and how to go on."""
    try:
        shown_scope()
    except NoAccessError as error:
        _turn_away(error)
        return False
    return True


def show_viewer() -> None:
    """Say in the sidebar who looks, whose rows these are, and how to log out; nothing where nobody logs in."""
    if _access() is None:
        return
    with st.sidebar, st.container(gap="xxsmall", key="viewer"):
        st.text(_name(_claims()))
        st.caption(markdown(_told(shown_scope()), _NAMED * _LONGEST_NAME))
        st.button("Log out", on_click=st.logout, type="tertiary")


def _turn_away(error: NoAccessError) -> None:
    with st.container(horizontal_alignment="center"), st.container(border=True, width=_NOTICE_PX, gap="medium"):
        st.title("spanledger", anchor=False)
        st.text(str(error))
        if error.log_in:
            st.button("Log in", on_click=st.login, type="primary", width="stretch")
        else:
            st.button("Log out", on_click=st.logout, width="stretch")


def _told(scope: Scope) -> str:
    if scope.is_everything:
        return "All teams are shown."
    teams = scope.values(TEAM)
    shown = ", ".join(teams) if len(teams) <= _NAMED else f"{len(teams)} teams"
    return f"Shown: {shown}. Totals and shares are of that."


def _name(claims: Mapping[str, object]) -> str:
    known = (claims.get(key) for key in ("email", "preferred_username", "name", "sub"))
    return visible(str(next(filter(None, known), "?")), _LONGEST_NAME)


def _since(issued: object) -> datetime | None:
    """Return when the provider vouched for somebody, seconds since 1970 in their claim `iat`."""
    if isinstance(issued, bool) or not isinstance(issued, int | float):
        return None
    try:
        return datetime.fromtimestamp(issued, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _found(claims: Mapping[str, object], name: str) -> object:
    """Return a claim by its name, or else by its path."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _teams(value: object) -> Sequence[str]:
    """Return the teams of a claim: a name, or a list of names; of anything else none."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Sequence) and all(isinstance(one, str) for one in value):
        return list(value)
    return []


def _claims() -> Mapping[str, object]:
    return st.user.to_dict()


def _access() -> Access | None:
    """Return what the server was started with; see `login`."""
    arguments = sys.argv[1:]
    return Access.read(arguments[arguments.index(FLAG) + 1]) if FLAG in arguments else None
