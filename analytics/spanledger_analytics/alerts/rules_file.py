"""Reading rules: TOML that a person writes, refused with the line and the key where it says what can't be.

Nothing is watched unless somebody asks for it: there are no rules without a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from spanledger.entries import Entry, EntryError, read_entries
from spanledger.settings import Settings
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.reports.question import Where, dimension_of, parse_where

from .durations import length, whole
from .kinds import KINDS
from .rules import LOG, SEVERITIES, Kind, Pace, Receiver, Rule, Rules

_COMMON: Final = frozenset({"name", "kind", "where", "by", "for", "cooldown", "severity", "labels", "receivers"})
_SECRET: Final = frozenset({"token_file", "token_env"})
_HTTP: Final = frozenset({"url", "headers"}) | _SECRET
_RECEIVERS: Final = {
    LOG: frozenset[str](),
    "webhook": _HTTP,
    "alertmanager": _HTTP,
    "email": frozenset({"host", "port", "tls", "from", "to", "user", "password_file", "password_env"}),
    "apprise": frozenset({"url", "url_file", "url_env"}),
}
"""Kind of receiver to its keys."""
_OF_ALL: Final = frozenset({"name", "kind", "send_resolved", "timeout"})
_TLS: Final = {"none": 25, "starttls": 587, "ssl": 465}
"""How a mail server is spoken to, and its usual port."""
_KNOWN: Final = {
    "alerting": frozenset({"every", "group_wait", "group_interval", "repeat", "external_url"}),
    "rule": _COMMON.union(*(kind.keys for kind in KINDS.values())),
    "receiver": _OF_ALL.union(*_RECEIVERS.values()),
}
_RESERVED: Final = frozenset({"alertname", "kind", "severity", "scope"})
_LABEL: Final = re.compile(r"[A-Za-z_]\w*")


class RulesError(EntryError):
    """Rules that can't be used; says the line and the key."""


def named(settings: Settings) -> Path:
    """Return the file that the settings name, which need not be there."""
    return Path(settings.alerts).expanduser() if settings.alerts else settings.home / "alerts.toml"


def read_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises:
        RulesError: it isn't one, or says something that can't be.
    """
    read = read_entries(
        path,
        _KNOWN,
        variable="SPANLEDGER_ALERTS",
        named=("rule", "receiver"),
        single=("alerting",),
        error=RulesError,
        make=Entry,
    )
    given = {receiver.name: receiver for receiver in map(_receiver, read["receiver"])}
    known = {LOG: Receiver(LOG, LOG)} | given
    rules = tuple(_rule(entry, tuple(known), tuple(given) or (LOG,)) for entry in read["rule"])
    pace = _pace(read["alerting"][0]) if read["alerting"] else Pace()
    return Rules(rules, known, pace)


def _pace(entry: Entry) -> Pace:
    usual = Pace()
    every = length(entry, "every", usual.every)
    if every < timedelta(seconds=1):
        raise entry.refuse("every", "expected at least a second")
    return Pace(
        every,
        length(entry, "group_wait", usual.group_wait),
        length(entry, "group_interval", usual.group_interval),
        length(entry, "repeat", usual.repeat),
        _url(entry, "external_url") if "external_url" in entry.given else "",
    )


def _rule(entry: Entry, known: tuple[str, ...], usual: tuple[str, ...]) -> Rule:
    kind = _kind(entry)
    receivers = entry.texts("receivers") or usual
    for receiver in receivers:
        if receiver not in known:
            raise entry.refuse("receivers", f"no [[receiver]] is called {receiver!r}; there are {', '.join(known)}")
    severity = entry.text("severity", "warning")
    if severity not in SEVERITIES:
        raise entry.refuse("severity", f"expected {', '.join(SEVERITIES)}")
    return Rule(
        entry.text("name"),
        kind,
        kind.read(entry),
        _by(entry, kind),
        _where(entry),
        whole(entry, "for", kind.evaluations),
        length(entry, "cooldown", timedelta(minutes=30)),
        severity,
        _labels(entry),
        receivers,
    )


def _kind(entry: Entry) -> Kind:
    name = entry.text("kind")
    if name not in KINDS:
        raise entry.refuse("kind", f"no rule is a {name!r}; there are {', '.join(KINDS)}")
    for key in entry.given:
        if key not in _COMMON | set(KINDS[name].keys):
            raise entry.refuse(key, f"nothing that a {name} rule has; it has {', '.join(sorted(KINDS[name].keys))}")
    return KINDS[name]


def _by(entry: Entry, kind: Kind) -> str | None:
    if "by" not in entry.given:
        return None
    if not kind.takes_by:
        raise entry.refuse("by", f"a {kind.name} rule tells its alerts apart by itself; leave it out")
    try:
        return dimension_of(entry.text("by"))
    except QuestionError as error:
        raise entry.refuse("by", str(error)) from None


def _where(entry: Entry) -> Where:
    try:
        return parse_where(entry.texts("where"))
    except QuestionError as error:
        raise entry.refuse("where", str(error)) from None


def _labels(entry: Entry) -> dict[str, str]:
    given = entry.given.get("labels", {})
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise entry.refuse("labels", 'expected a table of texts, as { channel = "finops" }')
    for name in given:
        if name in _RESERVED or not _LABEL.fullmatch(name):
            raise entry.refuse("labels", f"{name!r} can't be one; take letters, digits and _, and another name")
    return given


def _receiver(entry: Entry) -> Receiver:
    kind = entry.text("kind")
    if kind not in _RECEIVERS:
        raise entry.refuse("kind", f"no receiver is a {kind!r}; there are {', '.join(_RECEIVERS)}")
    for key in entry.given:
        if key not in _OF_ALL | _RECEIVERS[kind]:
            known = ", ".join(sorted(_RECEIVERS[kind])) or "no key of its own"
            raise entry.refuse(key, f"nothing that a receiver of the kind {kind} has; it has {known}")
    options = _OPTIONS[kind](entry)
    resolved = entry.given.get("send_resolved", True)
    if not isinstance(resolved, bool):
        raise entry.refuse("send_resolved", "expected true or false")
    timeout = length(entry, "timeout", timedelta(seconds=10))
    return Receiver(entry.text("name"), kind, options, resolved, max(1, int(timeout.total_seconds())))


def _nothing(_: Entry) -> dict[str, Any]:
    return {}


def _http(entry: Entry) -> dict[str, Any]:
    headers = entry.given.get("headers", {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise entry.refuse("headers", 'expected a table of texts, as { X-Team = "finops" }')
    if any(not value.isprintable() for pair in headers.items() for value in pair):
        raise entry.refuse("headers", "has a character that no header may have")
    return {"url": _url(entry, "url"), "headers": headers, **_secret(entry, "token")}


def _url(entry: Entry, key: str) -> str:
    url = entry.text(key)
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        right = False
    if not right or not url.isprintable() or " " in url:
        raise entry.refuse(key, "expected an address, as https://host/path")
    return url


def _email(entry: Entry) -> dict[str, Any]:
    tls = entry.text("tls", "starttls")
    if tls not in _TLS:
        raise entry.refuse("tls", f"expected {', '.join(_TLS)}")
    to = entry.texts("to")
    for key, addresses in (("to", to), ("from", (entry.text("from"),))):
        if not addresses or not all("@" in address and address.isprintable() for address in addresses):
            raise entry.refuse(key, "needed, as name@host")
    user = entry.text("user") if "user" in entry.given else None
    secret = _secret(entry, "password")
    if (user is None) != (not secret):
        raise entry.refuse("user", "goes with password_file or password_env")
    if user is not None and tls == "none":
        raise entry.refuse("tls", "a password needs starttls or ssl, or all on the way read it")
    port = whole(entry, "port", _TLS[tls])
    return {
        "host": entry.text("host"),
        "port": port,
        "tls": tls,
        "from": entry.text("from"),
        "to": to,
        "user": user,
    } | secret


def _apprise(entry: Entry) -> dict[str, Any]:
    urls = entry.texts("url")
    secret = _secret(entry, "url")
    if not urls and not secret:
        raise entry.refuse("url", "needed, or url_file or url_env")
    return {"urls": urls} | secret


def _secret(entry: Entry, name: str) -> dict[str, str]:
    """Read where a secret stands, in a file or in the environment; never the secret itself."""
    places = {place: entry.text(f"{name}_{place}") for place in ("file", "env") if f"{name}_{place}" in entry.given}
    if len(places) > 1:
        raise entry.refuse(f"{name}_env", f"name one of {name}_file and {name}_env")
    return {f"secret_{place}": value for place, value in places.items()}


_OPTIONS: Final[Mapping[str, Callable[[Entry], dict[str, Any]]]] = {
    LOG: _nothing,
    "webhook": _http,
    "alertmanager": _http,
    "email": _email,
    "apprise": _apprise,
}
