"""Silences from the page: what `spanledger alerts silence` does, for who may see all calls.

A silence keeps everybody from being told, and its conditions name teams; so who sees a part makes none and sees none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from spanledger import settings
from spanledger_analytics.alerts.episodes import scope_text
from spanledger_analytics.alerts.errors import StoreError
from spanledger_analytics.alerts.silences import Matcher, Silence
from spanledger_analytics.alerts.store import Store, store_path

from .data import now, shown_lake

_TOLD_BY = frozenset({"alertname", "kind", "severity", "scope"})
_A_MOMENT: Final = timedelta(seconds=10)


def is_evaluated() -> bool:
    """Say whether rules were ever evaluated in the home of the settings."""
    return store_path(settings.load().home).exists()


def may_silence() -> bool:
    """Say whether whoever looks may make silences and see them."""
    return shown_lake().is_whole and is_evaluated()


def held() -> list[Silence]:
    """Return the silences that hold now."""
    if not may_silence():
        return []
    with _store() as store:
        return [one for one in store.silences() if one.until > now()]


def silence(rule: str, scope: str, length: timedelta, comment: str) -> None:
    """Silence the alerts of a rule about one scope, as the report `alerts` writes it, from now on.

    What was silenced just now, by the first click of two, is left as it is.

    Raises:
        StoreError: it can't be kept; the message is for the reader.
    """
    if not may_silence():
        return
    with _store() as store:
        labels = [dict(one.labels) for one in store.alerts().values() if one.rule == rule]
        for told in labels:
            if scope_text(told) == scope:
                moment, matchers = now(), _matchers(told)
                until = moment + length
                if not any(_is_same(one, matchers, until, comment) for one in store.silences()):
                    store.silence(matchers, until, comment, moment)
                return


def _is_same(one: Silence, matchers: Sequence[Matcher], until: datetime, comment: str) -> bool:
    is_as_long = abs(until - one.until) < _A_MOMENT
    return is_as_long and one.comment == comment and one.matchers == tuple(matchers)


def end(number: int) -> None:
    """End a silence.

    Raises:
        StoreError: that can't be kept; the message is for the reader.
    """
    if may_silence():
        with _store() as store:
            store.end_silence(number, now())


def _matchers(labels: dict[str, str]) -> list[Matcher]:
    """Return what an alert's labels tell it from others by."""
    name = Matcher("alertname", labels["alertname"])
    return [name, *(Matcher(label, value) for label, value in sorted(labels.items()) if label not in _TOLD_BY)]


@contextmanager
def _store() -> Iterator[Store]:
    home = settings.load().home
    store = Store(home)
    try:
        yield store
    except sqlite3.Error as error:
        raise StoreError(store_path(home), error) from error
    finally:
        store.close()
