"""How viewers log in: the OpenID Connect provider of the settings, as Streamlit wants to be told it.

Streamlit reads it from a file of secrets, which is made here anew for each start, in the home and for its owner only.
What pages have to know goes with them as an argument, so that a running dashboard shows nobody more because a setting
was taken away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from spanledger.errors import SettingError
from spanledger.settings import Settings, setting_of
from spanledger_collector.address import is_loopback

FLAG: Final = "--access"
"""Before `Access.argument`, among the arguments of the pages."""
_DISCOVERY: Final = "/.well-known/openid-configuration"
_CALLBACK: Final = "/oauth2callback"
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Access:
    """What a claim of a viewer lets them see, and for how long."""

    claim: str
    """Name of the claim with their teams; dots lead into objects."""
    everything: str
    """Value of it that stands for all teams; empty: none does."""
    hours: int
    """From then on that the provider vouched for them."""
    contact: str
    """Whom to ask who sees nothing; empty: whoever runs the dashboard."""

    def argument(self) -> str:
        """Return it as one argument of a command."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, argument: str) -> Self:
        """Return what an argument says."""
        return cls(**json.loads(argument))


@dataclass(frozen=True, slots=True)
class Login:
    """The provider, and who we are to it."""

    provider: str
    """Address of its discovery document."""
    client_id: str
    client_secret: str
    address: str
    """Of the dashboard, as viewers open it; empty: loopback and its port."""
    scopes: str
    access: Access

    @property
    def is_in_clear(self) -> bool:
        """Whether cookies cross a network without TLS."""
        parts = urlsplit(self.address)
        return bool(self.address) and parts.scheme == "http" and not is_loopback(parts.hostname or "")

    def write(self, home: Path, port: int) -> Path:
        """Write the file of secrets for a dashboard on a port; return its path.

        Raises:
            OSError: it can't be written.
        """
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        address = self.address or f"http://127.0.0.1:{port}"
        told = {
            "redirect_uri": address.rstrip("/") + _CALLBACK,
            "cookie_secret": self._cookie_secret(_key(home / "dashboard.key")),
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "server_metadata_url": self.provider,
        }
        lines = ["[auth]", *(f"{name} = {json.dumps(value)}" for name, value in told.items())]
        lines += ["[auth.client_kwargs]", f"scope = {json.dumps(self.scopes)}"]
        path = home / f"dashboard-{port}.secrets.toml"
        _write_private(path, "\n".join(lines) + "\n")
        return path

    def _cookie_secret(self, key: bytes) -> str:
        """Return what cookies are signed with: cookies of one provider and client are none of another's."""
        named = f"{self.provider}\n{self.client_id}\n{self.access.claim}"
        return hmac.new(key, named.encode(), hashlib.sha256).hexdigest()


def login_of(settings: Settings) -> Login | None:
    """Return how viewers log in by the settings; None where no provider is named.

    Raises:
        SettingError: something is missing, or can't be read.
    """
    if not settings.login_provider:
        return None
    secret = _secret(settings.login_secret_file)
    for name in ("login_client_id", "login_claim"):
        if not getattr(settings, name):
            raise SettingError(setting_of(name).env, "", "viewers can't log in without it; see docs/dashboard.md")
    provider = _checked(settings.login_provider, "login_provider").rstrip("/")
    return Login(
        provider if provider.endswith(_DISCOVERY) else provider + _DISCOVERY,
        settings.login_client_id,
        secret,
        _checked(settings.dashboard_address, "dashboard_address") if settings.dashboard_address else "",
        settings.login_scopes,
        Access(settings.login_claim, settings.login_everything, settings.login_hours, settings.login_contact),
    )


def _checked(address: str, name: str) -> str:
    parts = urlsplit(address)
    where = setting_of(name).env
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(where, address, "expected an address such as https://ledger.example.com")
    if name == "login_provider" and parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingError(where, address, "who answers there can't be told without TLS; expected https://")
    return address


def _secret(path: str) -> str:
    where = setting_of("login_secret_file").env
    if not path:
        raise SettingError(where, "", "viewers can't log in without the client's secret; name the file that holds it")
    try:
        secret = Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(where, path, f"can't be read: {error}") from None
    if not secret:
        raise SettingError(where, path, "is empty; put the client's secret into it")
    return secret


def _key(path: Path) -> bytes:
    """Return the key that cookies are signed with, made where there is none; the same for each start."""
    if not path.exists():
        _write_private(path, secrets.token_hex(_KEY_BYTES) + "\n")
    key = path.read_text("ascii").strip()
    if len(key) < 2 * _KEY_BYTES:
        raise SettingError(str(path), "", "holds no key; remove it to have a new one made")
    return key.encode()


def _write_private(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}-{os.getpid()}")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
