"""`spanledger doctor`: what is instrumented, where spans go, and what is wrong.

It looks at the Python that runs it, which is the application's when both live in one environment, and it needs the
bare install only.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import site
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

import click

from spanledger import account, base_file, settings as all_settings
from spanledger.errors import SpanledgerError
from spanledger.guard import policy_path
from spanledger.guard.policy_file import read_policy
from spanledger.guard.stores import without_secret
from spanledger.lake_path import LakePath
from spanledger.settings import Settings
from spanledger.spool import FOLDER_LIMIT_BYTES, backlog
from spanledger.transport import AwayError, RefusedError, connect, target
from spanledger_dashboard.format import many

from . import lakes
from .errors import MissingExtraError

SDKS: Final = {
    "anthropic": ((0, 0), 2),
    "botocore": ((1, 34), 1),
    "google-genai": ((1, 24), 3),
    "openai": ((2, 0), 3),
}
"""LLM SDK to the oldest version (major, minor) and the newest major whose calls are known to be recorded."""
_SWITCHES: Final = ("spanledger_autoload.pth", "spanledger_autoload.start")
_PROBE_TIMEOUT_S: Final = 3.0
_SHOWN: Final = 5
"""Kinds of faults, the latest ones."""
_RECENT_S: Final = 86_400
_SLACK: Final = Decimal("0.02")
"""Between metrics and rows: what is under way, or came a minute ago."""
_NOT_EVALUATED: Final = timedelta(minutes=2)
_LOW_DISK_BYTES: Final = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    check: str
    state: Literal["ok", "warn"]
    detail: str


@click.command()
@click.option("--endpoint", metavar="URL", help="Where spans go (SPANLEDGER_ENDPOINT).")
@click.option("--lake", metavar="PATH", help="Folder of the lake (SPANLEDGER_LAKE).")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or programs.",
)
def command(endpoint: str | None, lake: str | None, form: str) -> None:
    """Say what is instrumented, where spans go, and what is wrong.

    \b
      spanledger doctor
      .venv/bin/python -m spanledger_cli doctor     where your program runs
      spanledger doctor --endpoint http://10.0.0.5:4318 --format json

    It looks at the Python that runs it. Each line begins with ok or warn; a
    warning says what to do. It sends one request without spans to the endpoint, and writes nothing. Exit code 0
    whatever it finds; for a gate, look for "state": "warn" in the JSON.
    """
    findings = list(examine(all_settings.load(endpoint=endpoint, lake=lake)))
    if form == "json":
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.state:<4}  {finding.check:<{width}}  {finding.detail}")


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, cheapest first."""
    yield Finding("spanledger", "ok", f"{version('spanledger')} on Python {platform.python_version()}")
    yield _switch_file()
    yield _switch_variable()
    for name in SDKS:
        yield _sdk(name)
    path = all_settings.config_path()
    yield Finding("settings file", "ok", str(path.resolve()) if path else "none")
    yield _endpoint(settings)
    yield _folder("home", settings.home)
    yield _prices(settings)
    yield _spool(settings.home / "spool")
    yield _faults(settings.home)
    yield _lake(settings.lake)
    yield from _metrics(settings.lake)
    yield from _alerts(settings)
    yield _policy(settings)


def _switch_file() -> Finding:
    folders = {sysconfig.get_path("purelib"), *site.getsitepackages(), site.getusersitepackages()}
    for folder in sorted(folders):
        for name in _SWITCHES:
            if (Path(folder) / name).is_file():
                return Finding("switch", "ok", f"installed in {folder}")
    advice = "not in this Python's site-packages; reinstall spanledger, or use SpanledgerInstrumentor().instrument()"
    return Finding("switch", "warn", advice)


def _switch_variable() -> Finding:
    value = os.environ.get("SPANLEDGER_ENABLED")
    if value is None:
        return Finding("SPANLEDGER_ENABLED", "ok", "not set here: set it to 1 for the program to trace")
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Finding("SPANLEDGER_ENABLED", "warn", f"{value}, but OTEL_SDK_DISABLED switches it off again")
    return Finding("SPANLEDGER_ENABLED", "ok", value)


def _sdk(name: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "ok", "not installed")
    oldest, newest = SDKS[name]
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if len(numbers) == 2 and oldest <= numbers and numbers[0] <= newest:
        return Finding(name, "ok", f"{found}, calls are recorded")
    known = f"{oldest[0]}.{oldest[1]} to {newest}.x"
    return Finding(name, "warn", f"{found} is not among the versions tried ({known}); calls may go unrecorded")


def _endpoint(settings: Settings) -> Finding:
    to = target(settings)
    try:
        # An export request without spans: it tests address, token and protocol, and leaves nothing behind.
        connect(to).send(b"", _PROBE_TIMEOUT_S)
    except AwayError as error:
        return Finding(
            "endpoint", "warn", f"not reachable, spans wait in the spool; `spanledger up` starts a collector: {error}"
        )
    except RefusedError as error:
        return Finding("endpoint", "warn", f"refuses spans: {error}")
    except ModuleNotFoundError as error:
        return Finding(
            "endpoint", "warn", f"{to.url} needs {error.name}; install it with: pip install 'spanledger[grpc]'"
        )
    return Finding("endpoint", "ok", f"{to.url} takes spans ({to.protocol})")


def _prices(settings: Settings) -> Finding:
    """Say which base the price book has."""
    shipped = base_file.shipped_header().library
    path = base_file.named(settings)
    if path is None:
        return Finding("prices", "ok", f"the shipped base, {shipped}")
    try:
        header, _ = base_file.read_base(path)
    except base_file.BaseFileError as error:
        return Finding("prices", "warn", f"the shipped base, {shipped}: {error}")
    return Finding("prices", "ok", f"{path}, {header.library} (shipped: {shipped})")


def _spool(folder: Path) -> Finding:
    waiting = backlog(folder)
    dropped = "1 batch was" if waiting.dropped == 1 else f"{waiting.dropped} batches were"
    lost = f"; {dropped} dropped, the folder was full" if waiting.dropped else ""
    if not waiting.files:
        return Finding("spool", "warn" if lost else "ok", f"nothing waits{lost}")
    share = waiting.bytes * 100 // FOLDER_LIMIT_BYTES
    wait = "1 batch waits" if waiting.files == 1 else f"{waiting.files} batches wait"
    detail = f"{wait}, {_size(waiting.bytes)}, {share} % full, oldest {waiting.oldest_s:.0f} s{lost}"
    return Finding("spool", "warn", detail)


def _faults(home: Path) -> Finding:
    found = account.read(home)
    if not found:
        return Finding("faults", "ok", "none in 30 days")
    listed = "; ".join(
        f"{fault.kind} ({fault.count}x, last {fault.last:%Y-%m-%dT%H:%M:%SZ})" for fault in found[:_SHOWN]
    )
    more = f"; and {len(found) - _SHOWN} more kinds in {home / 'faults.json'}" if len(found) > _SHOWN else ""
    recent = (datetime.now(UTC) - found[0].last).total_seconds() < _RECENT_S
    return Finding("faults", "warn" if recent else "ok", listed + more)


def _folder(name: str, folder: Path) -> Finding:
    if folder.exists() and not folder.is_dir():
        return Finding(name, "warn", f"{folder} is a file; name a folder")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, {_size(free)} free" + ("" if folder.exists() else ", not made yet")
    if not os.access(existing, os.W_OK):
        return Finding(name, "warn", f"{detail}; {existing} cannot be written")
    return Finding(name, "warn" if free < _LOW_DISK_BYTES else "ok", detail)


def _lake(lake: LakePath) -> Finding:
    if isinstance(lake, Path):
        return _folder("lake", lake)
    try:
        lakes.check_readable(lake)
    except MissingExtraError as error:  # who only sends spans doesn't need it
        return Finding("lake", "ok", f"{lake}, not looked at: {error}")
    except SpanledgerError as error:
        return Finding("lake", "warn", str(error))
    return Finding("lake", "ok", str(lake))


def _metrics(lake: LakePath) -> Iterator[Finding]:
    """Compare what coding agents count themselves with the rows of the last day, where they do."""
    if isinstance(lake, Path) and not (lake / "readings").exists():
        return
    try:
        from spanledger_analytics.cross_checks import cross_checks
    except ModuleNotFoundError:  # the bare install
        return
    since = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    try:
        found = cross_checks(lake, since)
    except SpanledgerError as error:
        yield Finding("metrics", "warn", str(error))
        return
    odd = [check for check in found if abs(check.share - 1) > _SLACK]
    told = "; ".join(
        f"{check.service_name}: {check.metric} says {check.metered.normalize():f} {check.side},"
        f" the rows have {check.share:.0%} of it"
        for check in odd[:_SHOWN]
    )
    if odd:
        yield Finding("metrics", "warn", f"{told}; are all its log events, or spans, sent here?")
    elif found:
        services = sorted({check.service_name for check in found})
        yield Finding("metrics", "ok", f"they agree with the rows of the last day: {', '.join(services)}")


def _alerts(settings: Settings) -> Iterator[Finding]:
    """Say whether the rules can be read, are evaluated, and what waits to be told, where there are rules."""
    try:
        from spanledger_analytics.alerts.rules_file import named, read_rules
        from spanledger_analytics.alerts.store import Store
    except ModuleNotFoundError:  # the bare install
        return
    path = named(settings)
    if not path.exists():
        yield Finding("alerts", "ok", "no rules, so nothing is watched; `spanledger alerts init` begins")
        return
    try:
        rules = read_rules(path)
    except SpanledgerError as error:
        yield Finding("alerts", "warn", str(error))
        return
    store = Store(settings.home)
    facts, waiting = store.facts(), [row for row in store.outbox() if row["done_at"] is None and row["failed"]]
    store.close()
    seen = datetime.fromisoformat(facts["evaluated_at"]) if "evaluated_at" in facts else None
    troubles = [f"{row['receiver']} isn't told: {row['failed']}" for row in waiting[:1]]
    if seen is None or datetime.now(UTC) - seen > max(_NOT_EVALUATED, 3 * rules.pace.every):
        when = f"since {seen:%Y-%m-%dT%H:%M:%SZ}" if seen else "yet"
        troubles.insert(0, f"not evaluated {when}: `spanledger up` and `collect` do")
    told = f"{many(len(rules.rules), 'rule')} of {path}"
    yield Finding("alerts", "warn" if troubles else "ok", "; ".join([told, *troubles]))


def _policy(settings: Settings) -> Finding:
    """Say which controls calls are held against."""
    path = policy_path(settings)
    if path is None:
        return Finding(
            "policy", "ok", f"none, so no call is held up; it would stand in {settings.home / 'policy.toml'}"
        )
    try:
        policy = read_policy(path, settings)
    except SpanledgerError as error:
        return Finding("policy", "warn", f"calls go on without it, or by the last good one: {error}")
    rules = [*policy.rules, *(rule for kind in policy.more.values() for rule in kind)]
    shadow = sum(getattr(rule, "shadow", False) for rule in rules)
    in_shadow = f", {shadow} in shadow" if shadow else ""
    return Finding(
        "policy", "ok", f"{many(len(rules), 'rule')} of {path}{in_shadow}, store {without_secret(policy.store)}"
    )


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
