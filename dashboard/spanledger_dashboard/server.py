"""How the dashboard is started: Streamlit on loopback, its security settings and our theme as flags.

Flags, not a config file, because Streamlit would look for one in the reader's working directory and in the home
folder, and either could undo a setting that must hold.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from spanledger.lake_path import LakePath

from .charts.colours import LINE, PAPER
from .login import FLAG, Access

HOST: Final = "127.0.0.1"

_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server.address": HOST,
        "server.headless": "true",
        "server.enableCORS": "true",
        "server.enableXsrfProtection": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": "1",
        "server.disconnectedSessionTTL": "120",
        "server.websocketPingInterval": "20",
        "server.enableAgentApi": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "runner.magicEnabled": "false",
        # It holds back the last messages of each step by a tenth of a second; Python collects by itself.
        "runner.postScriptGC": "false",
        "logger.hideWelcomeMessage": "true",
        "global.disableWidgetStateDuplicationWarning": "true",
    }
)

# A page of another site must not reach the dashboard by a name of its own that resolves to loopback.
_ALLOWED_HOSTS: Final = (HOST, "localhost")

_NO_SECRETS: Final = Path(__file__).parent / "assets" / "none.toml"
"""A file that isn't there: Streamlit's own would be looked for in the working directory, and in the home folder."""

_LIGHT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "primaryColor": "#0067A3",
        "backgroundColor": PAPER["light"],
        "secondaryBackgroundColor": "#F5F7F9",
        "textColor": "#0B141C",
        "borderColor": LINE["light"],
    }
)
_DARK: Final[Mapping[str, str]] = MappingProxyType(
    {
        "primaryColor": "#56B4E9",
        "backgroundColor": PAPER["dark"],
        "secondaryBackgroundColor": "#17212B",
        "textColor": "#E4EBF1",
        "borderColor": LINE["dark"],
    }
)
_BOTH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "baseRadius": "small",
        "paddingTop": "1.5rem",
        "metricValueFontSize": "1.6rem",
        "metricValueFontWeight": "600",
        "headingFontSizes": "1.4rem",
        "headingFontWeights": "650",
    }
)


def command(
    lake: LakePath,
    port: int,
    *,
    host: str = HOST,
    address: str = "",
    access: Access | None = None,
    secrets: Path | None = None,
) -> list[str]:
    """Return the argument list that serves the dashboard of a lake, on loopback unless told otherwise.

    `address` is what people open it by, where that isn't loopback. With `access` they have to log in, by the provider
    that the file `secrets` names.
    """
    flags = dict(_SETTINGS) | {"server.address": host, "server.port": str(port)}
    flags["secrets.files"] = str(secrets or _NO_SECRETS)
    named = urlsplit(address).hostname
    allowed = [*_ALLOWED_HOSTS, *([named] if named else []), *([host] if not _is_any(host) else [])]
    flags |= {f"theme.{name}": value for name, value in _BOTH.items()}
    flags |= {f"theme.light.{name}": value for name, value in _LIGHT.items()}
    flags |= {f"theme.dark.{name}": value for name, value in _DARK.items()}
    script = Path(__file__).parent / "entry" / "app.py"
    return [
        sys.executable,
        "-m",
        "spanledger_dashboard.launch",
        "run",
        str(script),
        *(f"--{name}={value}" for name, value in flags.items()),
        *(f"--server.allowedHosts={name}" for name in dict.fromkeys(allowed)),
        "--",
        "--lake",
        str(lake),
        *((FLAG, access.argument()) if access else ()),
    ]


def _is_any(host: str) -> bool:
    """Say whether a host stands for every address of the machine."""
    return host in ("", "0.0.0.0", "::")  # noqa: S104
