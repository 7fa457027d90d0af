"""Every setting of the product in one table: name, variable, default, type and a sentence.

A value comes from `spanledger.configure` first, then from the environment, then from `spanledger.toml` (in the
working directory, or named by `SPANLEDGER_CONFIG`), then from the default. Command-line flags win over all and are
passed down as arguments. Nothing else in the code reads `os.environ` for a setting of ours.
"""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from .errors import SettingError
from .lake_path import LakePath, StorePath, lake_path

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table."""

    name: str
    """Key in spanledger.toml and attribute of `Settings`."""
    env: str
    """Environment variable."""
    type: type
    default: str | int | bool | None
    """None where the default is worked out at run time (see `sentence`)."""
    sentence: str
    """What it does, for `--help` and docs/settings.md."""
    choices: tuple[str, ...] = ()
    """The only values, where not every text will do."""


SETTINGS: tuple[Setting, ...] = (
    Setting("enabled", "SPANLEDGER_ENABLED", bool, False, "Switch tracing on in this Python process."),
    Setting(
        "endpoint",
        "SPANLEDGER_ENDPOINT",
        str,
        "http://127.0.0.1:4318",
        "Where spans go, an OTLP base address; `otel` uses the OTEL_EXPORTER_OTLP_* variables instead.",
    ),
    Setting("headers", "SPANLEDGER_HEADERS", str, "", "Extra headers for the endpoint: key=value,key=value."),
    Setting("protocol", "SPANLEDGER_PROTOCOL", str, "http/protobuf", "http/protobuf, or grpc (extra `grpc`)."),
    Setting(
        "lake",
        "SPANLEDGER_LAKE",
        str,
        None,
        "Folder of the Parquet files, or s3://bucket/prefix (extra `s3`); default: spanledger/lake in the platform's"
        " user-data folder.",
    ),
    Setting(
        "home",
        "SPANLEDGER_HOME",
        str,
        None,
        "Local state (write-ahead log, dead letters, spool); default: spanledger in the user-data folder.",
    ),
    Setting(
        "providers",
        "SPANLEDGER_PROVIDERS",
        str,
        "",
        "Who serves a host, where the built-in table does not know: host=provider,host:port=provider.",
    ),
    Setting(
        "billing",
        "SPANLEDGER_BILLING",
        str,
        "",
        "Who pays for the calls of a service that don't say so themselves, `plan` (a subscription) or `usage`:"
        " claude-code=plan,codex*=usage. Read by the collector.",
    ),
    Setting(
        "propagate_to",
        "SPANLEDGER_PROPAGATE_TO",
        str,
        "",
        "Hosts that get the tags as W3C baggage: a.internal,*.svc.local,host:port; never one that serves an LLM.",
    ),
    Setting(
        "trust_baggage",
        "SPANLEDGER_TRUST_BAGGAGE",
        bool,
        False,
        "Have the middleware of spanledger.web take tags from the baggage header of a request.",
    ),
    Setting(
        "capture_content",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        str,
        "",
        "Put prompts and answers on spans: `span_only`, `span_and_event` or `true`; anything else leaves them out.",
    ),
    Setting(
        "features",
        "SPANLEDGER_FEATURES",
        str,
        "hash",
        "Fingerprints of each prompt, content-free: none, hash, or sketch (hash and a similarity hash).",
        ("none", "hash", "sketch"),
    ),
    Setting(
        "features_key_file",
        "SPANLEDGER_FEATURES_KEY_FILE",
        str,
        "",
        "File with the key of the fingerprints, 64 hexadecimal digits; default: one made in the home folder.",
    ),
    Setting(
        "contract",
        "SPANLEDGER_CONTRACT",
        str,
        "",
        "File with the prices, discounts, deployments and fees that you have agreed on; default: contract.toml in the"
        " home folder, where there is one.",
    ),
    Setting(
        "prices",
        "SPANLEDGER_PRICES",
        str,
        "",
        "Base of the price book in place of the shipped one, as `spanledger prices update` writes it; default:"
        " prices_base.jsonl in the home folder, where there is one.",
    ),
    Setting(
        "alerts",
        "SPANLEDGER_ALERTS",
        str,
        "",
        "File with the alert rules; default: alerts.toml in the home folder, where there is one.",
    ),
    Setting(
        "policy",
        "SPANLEDGER_POLICY",
        str,
        "",
        "File with budgets, limits and other controls; default: policy.toml in the home folder, where there is one.",
    ),
    Setting("service", "OTEL_SERVICE_NAME", str, "", "Name of the service, as OpenTelemetry has it."),
    Setting(
        "environment",
        "SPANLEDGER_ENVIRONMENT",
        str,
        "",
        "Deployment environment (production, staging, ...) put on every span.",
    ),
    Setting(
        "flush",
        "SPANLEDGER_FLUSH",
        str,
        "auto",
        "`batch` sends in the background; `call` has each outermost call or step wait until it is sent; `auto` is"
        " `call` where processes are frozen or killed between calls (AWS Lambda, multiprocessing.Pool), else `batch`.",
        ("auto", "batch", "call"),
    ),
    Setting(
        "token_file",
        "SPANLEDGER_TOKEN_FILE",
        str,
        "",
        "Collector: file of bearer tokens, one a line, of which a request has to have one; read again when it changes.",
    ),
    Setting(
        "tls_cert", "SPANLEDGER_TLS_CERT", str, "", "Collector: its certificate for TLS, PEM with the whole chain."
    ),
    Setting("tls_key", "SPANLEDGER_TLS_KEY", str, "", "Collector: the private key of that certificate, PEM."),
    Setting(
        "tls_client_ca",
        "SPANLEDGER_TLS_CLIENT_CA",
        str,
        "",
        "Collector: whoever connects needs a certificate signed by one of these, PEM (mTLS).",
    ),
    Setting(
        "max_body_bytes",
        "SPANLEDGER_MAX_BODY_BYTES",
        int,
        20 << 20,
        "Collector: largest request, as sent and after decompression.",
    ),
    Setting(
        "backlog_bytes",
        "SPANLEDGER_BACKLOG_BYTES",
        int,
        4 << 30,
        "Collector: refuse requests, to be sent again, while more than this waits to become rows.",
    ),
    Setting(
        "reserve_bytes",
        "SPANLEDGER_RESERVE_BYTES",
        int,
        1 << 30,
        "Collector: refuse requests, to be sent again, while a disk of the home or the lake has less room than this.",
    ),
    Setting(
        "check",
        "SPANLEDGER_CHECK",
        str,
        "parse",
        "Collector: what is looked at before spans are acknowledged: parse, all of it, or framing, but not the spans.",
        ("parse", "framing"),
    ),
    Setting(
        "settle_after_s",
        "SPANLEDGER_SETTLE_AFTER_S",
        int,
        600,
        "Collector: a span is settled, with its whole trace, when it has been in the lake for so many seconds.",
    ),
    Setting(
        "keep_days",
        "SPANLEDGER_KEEP_DAYS",
        int,
        400,
        "Lake: whole UTC days before today that are kept; older ones are deleted.",
    ),
    Setting(
        "keep_attributes_days",
        "SPANLEDGER_KEEP_ATTRIBUTES_DAYS",
        int,
        None,
        "Lake: days for which spans keep `attributes`, `resource` and `events`, which take the most room; default: as"
        " long as the rows.",
    ),
    Setting(
        "zone",
        "SPANLEDGER_ZONE",
        str,
        "UTC",
        "Reports: time zone whose days, weeks and months are told, by its IANA name (Europe/Berlin).",
    ),
    Setting("billing_day", "SPANLEDGER_BILLING_DAY", int, 1, "Reports: day on which a month of yours begins, 1 to 28."),
    Setting(
        "dashboard_address",
        "SPANLEDGER_DASHBOARD_ADDRESS",
        str,
        "",
        "Dashboard: address that people open it by, as https://ledger.example.com; default: loopback and its port.",
    ),
    Setting(
        "login_provider",
        "SPANLEDGER_LOGIN_PROVIDER",
        str,
        "",
        "Dashboard: address of the OpenID Connect provider that viewers log in with (extra `auth`); without it nobody"
        " has to, and it listens on loopback.",
    ),
    Setting("login_client_id", "SPANLEDGER_LOGIN_CLIENT_ID", str, "", "Dashboard: its id at the provider."),
    Setting(
        "login_secret_file",
        "SPANLEDGER_LOGIN_SECRET_FILE",
        str,
        "",
        "Dashboard: file with its secret at the provider.",
    ),
    Setting(
        "login_scopes",
        "SPANLEDGER_LOGIN_SCOPES",
        str,
        "openid email profile",
        "Dashboard: OAuth scopes that are asked for; some providers tell groups only for one of their own.",
    ),
    Setting(
        "login_claim",
        "SPANLEDGER_LOGIN_CLAIM",
        str,
        "teams",
        "Dashboard: claim of the ID token that names the teams somebody sees; dots lead into objects.",
    ),
    Setting(
        "login_everything",
        "SPANLEDGER_LOGIN_EVERYTHING",
        str,
        "*",
        "Dashboard: value of that claim for who sees all teams, and what names none.",
    ),
    Setting(
        "login_hours", "SPANLEDGER_LOGIN_HOURS", int, 12, "Dashboard: hours for which a login, and its teams, hold."
    ),
    Setting(
        "login_contact",
        "SPANLEDGER_LOGIN_CONTACT",
        str,
        "",
        "Dashboard: whom somebody is told to ask who may see nothing.",
    ),
    Setting("batch_delay_ms", "OTEL_BSP_SCHEDULE_DELAY", int, 1000, "Most milliseconds before a batch is sent."),
    Setting("batch_size", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", int, 512, "Most spans in a batch."),
    Setting("queue_size", "OTEL_BSP_MAX_QUEUE_SIZE", int, 20000, "Most spans waiting; more are dropped."),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force; read once by `load` and passed down."""

    enabled: bool
    endpoint: str
    headers: str
    protocol: str
    lake: LakePath
    home: Path
    providers: str
    billing: str
    propagate_to: str
    trust_baggage: bool
    capture_content: str
    features: str
    features_key_file: str
    contract: str
    prices: str
    alerts: str
    policy: str
    service: str
    environment: str
    flush: str
    token_file: str
    tls_cert: str
    tls_key: str
    tls_client_ca: str
    max_body_bytes: int
    backlog_bytes: int
    reserve_bytes: int
    check: str
    settle_after_s: int
    keep_days: int
    keep_attributes_days: int | None
    zone: str
    billing_day: int
    dashboard_address: str
    login_provider: str
    login_client_id: str
    login_secret_file: str
    login_scopes: str
    login_claim: str
    login_everything: str
    login_hours: int
    login_contact: str
    batch_delay_ms: int
    batch_size: int
    queue_size: int


said: Final[dict[str, str | int | bool]] = {}
"""What the program itself says, by `spanledger.configure`."""


def setting_of(name: str) -> Setting:
    """Return the row of the table."""
    return next(setting for setting in SETTINGS if setting.name == name)


def user_data_dir() -> Path:
    """Return the platform's folder for a user's data, without creating it."""
    try:
        home = Path.home()
    except RuntimeError:
        # A container's user without an entry or a HOME; what can't be kept on disk then is kept in memory.
        home = Path(os.sep)
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")


def config_path() -> Path | None:
    """Return the settings file in force, or None; a file named by SPANLEDGER_CONFIG must exist."""
    named = os.environ.get("SPANLEDGER_CONFIG")
    path = Path(named) if named else Path("spanledger.toml")
    if path.is_file():
        return path
    if named:
        raise SettingError("SPANLEDGER_CONFIG", named, "no such file; correct the path or unset it")
    return None


def load(**flags: str | LakePath | bool | int | None) -> Settings:
    """Read flags (those not None), `said`, environment, file and defaults, in that order of precedence.

    Raises:
        SettingError: a value that cannot be read, with the place it came from.
    """
    path = config_path()
    from_file = _read_file(path) if path else {}
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        flag = flags.get(setting.name)
        if flag is not None:
            where = f"--{setting.name.replace('_', '-')}"
            values[setting.name] = flag if isinstance(flag, Path | StorePath) else parse(setting, flag, where)
        elif setting.name in said:
            values[setting.name] = said[setting.name]
        elif setting.env in os.environ:
            values[setting.name] = parse(setting, os.environ[setting.env], setting.env)
        elif setting.name in from_file:
            values[setting.name] = parse(setting, from_file[setting.name], f"{path}: {setting.name}")
        else:
            values[setting.name] = setting.default
    home = Path(values["home"] or user_data_dir() / "spanledger").expanduser()
    values["home"] = home
    values["lake"] = lake_path(str(values["lake"] or home / "lake"))
    return Settings(**values)


def parse_pairs(text: str, where: str) -> dict[str, str]:
    """Read key=value,key=value; keys in lower case, values may be percent-encoded, as OpenTelemetry has it."""
    pairs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, found, value = part.partition("=")
        if not found or not key.strip():
            raise SettingError(where, part, "expected key=value,key=value")
        pairs[key.strip().lower()] = unquote(value.strip())
    return pairs


def parse_billing(text: str, where: str) -> dict[str, str]:
    """Read service=plan,service=usage; a service may have asterisks in it."""
    pairs = parse_pairs(text, where)
    for service, basis in pairs.items():
        if basis not in ("plan", "usage"):
            raise SettingError(where, f"{service}={basis}", "expected service=plan or service=usage")
    return pairs


def parse_hosts(text: str, where: str) -> list[str]:
    """Read a list of hosts, host:port and *.ends of names; an address, or every host there is, is none."""
    entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
    for entry in entries:
        if "/" in entry or "*" in entry.removeprefix("*.") or entry == "*.":
            raise SettingError(where, entry, "expected host, host:port or *.end.of.name")
    return entries


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SettingError(str(path), "", f"not valid TOML: {error}") from error
    known = {setting.name for setting in SETTINGS}
    for key in values:
        if key not in known:
            raise SettingError(f"{path}: {key}", "", f"unknown setting; known: {', '.join(sorted(known))}")
    return values


def parse(setting: Setting, value: object, where: str) -> str | bool | int:
    """Read one value, text or not; raises SettingError with `where` it stands."""
    if setting.type is bool:
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower()
        if word in TRUE_WORDS:
            return True
        if word in FALSE_WORDS:
            return False
        raise SettingError(where, str(value), "expected 1/true/yes/on or 0/false/no/off")
    if setting.type is int:
        return _whole_number(value, where)
    if not isinstance(value, str):
        raise SettingError(where, str(value), "expected text in quotes")
    return _choice(setting, value, where) if setting.choices else value


def _choice(setting: Setting, value: str, where: str) -> str:
    word = value.strip().lower()
    if word not in setting.choices:
        raise SettingError(where, value, f"expected {', '.join(setting.choices[:-1])} or {setting.choices[-1]}")
    return word


def _whole_number(value: object, where: str) -> int:
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if number < 1:
        raise SettingError(where, str(value), "expected a whole number above 0")
    return number
