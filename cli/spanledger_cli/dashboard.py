"""`spanledger dashboard`: the dashboard in the foreground, and who is let in."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from urllib.parse import urlsplit

import click

from spanledger.lake_path import LakePath, absolute
from spanledger.settings import Settings, load, setting_of
from spanledger_collector.address import host_and_port, is_loopback

from . import lakes
from .collect import PORT
from .errors import FileError, MissingExtraError

_LOOPBACK = "127.0.0.1"
_STRANGERS = (
    "any machine that reaches it could see everything; have viewers log in (SPANLEDGER_LOGIN_PROVIDER,"
    " docs/dashboard.md), or pass --allow-remote if your network keeps strangers out"
)
_NAMELESS = "people need an address to open it by; give it as --dashboard-address https://ledger.example.com"


@click.command()
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--home", type=click.Path(path_type=Path), help=lakes.HOME_HELP)
@click.option("--host", default=_LOOPBACK, show_default=True, help="Address to listen on.")
@click.option("--dashboard-port", type=PORT, default=8501, show_default=True, help="Dashboard; 0 takes a free port.")
@click.option("--dashboard-address", help=setting_of("dashboard_address").sentence)
@click.option("--allow-remote", is_flag=True, help="Let other machines reach --host without a login.")
def command(
    lake: LakePath | None,
    home: Path | None,
    host: str,
    dashboard_port: int,
    dashboard_address: str | None,
    *,
    allow_remote: bool,
) -> None:
    """Run the dashboard over a lake, until Ctrl-C.

    \b
      spanledger dashboard            then open http://127.0.0.1:8501
      spanledger dashboard --lake ./lake --dashboard-port 8600

    It listens on this machine only, unless viewers have to log in; the settings SPANLEDGER_LOGIN_* say how
    (docs/dashboard.md). It asks no other host for anything, but the provider who somebody is, and writes nothing but
    the queries that you save. `spanledger up` runs the collector beside it.
    """
    from spanledger_collector.doors import bind

    settings = load(lake=lake, home=home, dashboard_address=dashboard_address)
    lakes.check_readable(settings.lake)
    check_strangers(settings, host, allow_remote=allow_remote)
    with bind(host, dashboard_port, "--dashboard-port") as tried:
        port: int = tried.getsockname()[1]
    arguments = serving(settings, port, host)
    click.echo(f"dashboard: http://{host_and_port(host, port)} over {settings.lake}", err=True)
    # In place of this process, so that signals and the exit code are the server's own.
    os.execv(arguments[0], arguments)  # noqa: S606


def check_strangers(settings: Settings, host: str = _LOOPBACK, *, allow_remote: bool) -> None:
    """Look whether only those could reach the dashboard who may.

    Raises:
        DoorError: others could.
    """
    from spanledger_collector.errors import DoorError

    named = urlsplit(settings.dashboard_address).hostname
    is_remote = not is_loopback(host) or (named is not None and not is_loopback(named))
    if is_remote and not (settings.login_provider or allow_remote):
        raise DoorError(settings.dashboard_address or host, _STRANGERS)
    if is_remote and not named:
        raise DoorError(host, _NAMELESS)


def serving(settings: Settings, port: int, host: str = _LOOPBACK) -> list[str]:
    """Return the argument list that serves the dashboard, with the login of the settings.

    Raises:
        SettingError: a setting of the login is missing or can't be read.
        MissingExtraError: viewers have to log in, and what that needs isn't installed.
        FileError: the home can't be written to.
    """
    from spanledger_dashboard.login import login_of
    from spanledger_dashboard.server import command as streamlit_command

    lake, address = absolute(settings.lake), settings.dashboard_address
    login = login_of(settings)
    if login is None:
        return streamlit_command(lake, port, host=host, address=address)
    if importlib.util.find_spec("authlib") is None:
        raise MissingExtraError("dashboard", "authlib", "auth")
    if login.is_in_clear:
        click.echo(f"spanledger: logins cross the network in the clear; put TLS in front of {address}", err=True)
    try:
        secrets = login.write(settings.home, port)
    except OSError as error:
        raise FileError(settings.home, f"can't be written, so nobody can log in: {error.strerror}") from None
    return streamlit_command(lake, port, host=host, address=address, access=login.access, secrets=secrets)
