"""Settings said in code, by `spanledger.configure`, for programs that keep their settings elsewhere.

They win over environment and file. They must come before the first traced call: the thread that sends spans has read
its settings by then, and half a process under one address and half under another is what nobody wants to search for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import _spanledger_boot as switch

from . import redaction, settings
from .errors import SettingError
from .otel import SpanledgerInstrumentor
from .redaction import Redact
from .transport import target

Value: TypeAlias = str | int | bool | Path | Mapping[str, str] | Sequence[str] | None


def configure(*, redact: Redact | None = None, **values: Value) -> None:
    """Set any setting of docs/settings.md by its name; None leaves one as it is.

    Pairs may be a mapping, lists a sequence. `enabled=True` switches tracing on, False off; without it, the switch
    stays as it is. `redact` is handed each text of captured content, on a thread of ours, and returns what may leave
    of it, or None. Calls add up.

    Raises:
        SettingError: an unknown setting, a value that cannot be read, or a change after the first traced call.
    """
    given = {name: _read(name, value) for name, value in values.items() if value is not None}
    changed = {name for name, value in given.items() if settings.said.get(name) != value} - {"enabled"}
    switches_off = given.get("enabled") is False
    if changed and _is_under_way() and not switches_off:
        where = f"configure({', '.join(sorted(changed))})"
        raise SettingError(where, "", "spans are being sent already; call it before the first traced call")
    _say(given)
    if redact is not None:
        redaction.redact = redact
    if switches_off:
        SpanledgerInstrumentor().uninstrument()
    elif given.get("enabled"):
        switch.switch_on()


def _say(given: Mapping[str, str | int | bool]) -> None:
    """Have the settings hold from now on, all of them or, where one cannot be read, none."""
    before = dict(settings.said)
    settings.said.update(given)
    try:
        _check(settings.load())
    except SettingError:
        settings.said.clear()
        settings.said.update(before)
        raise
    tagging = sys.modules.get("spanledger.tagging")
    if tagging is not None:
        # The next tags look at the settings again.
        tagging.end_use()


def _read(name: str, value: Value) -> str | int | bool:
    row = next((row for row in settings.SETTINGS if row.name == name), None)
    if row is None:
        known = ", ".join(sorted(row.name for row in settings.SETTINGS))
        raise SettingError(f"configure({name})", "", f"unknown setting; known: {known}")
    if isinstance(value, Mapping):
        value = ",".join(f"{key}={quote(str(text))}" for key, text in value.items())
    elif isinstance(value, Path) or (isinstance(value, bool) and row.type is str):
        value = str(value)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        value = ",".join(value)
    return settings.parse(row, value, f"configure({name})")


def _check(found: settings.Settings) -> None:
    """Read what else is read only when it is used."""
    settings.parse_pairs(found.headers, "headers")
    settings.parse_pairs(found.providers, "providers")
    settings.parse_hosts(found.propagate_to, "propagate_to")
    target(found)


def _is_under_way() -> bool:
    ledger = sys.modules.get("spanledger.ledger")
    return ledger is not None and bool(ledger.is_running())
