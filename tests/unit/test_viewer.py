"""What claims let somebody see, and that everything else is refused; how the server is told whom to let in."""

from __future__ import annotations

import stat
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from spanledger import settings
from spanledger.errors import SettingError
from spanledger_analytics.scope import EVERYTHING, Scope, scope_of_teams
from spanledger_cli import cli
from spanledger_dashboard.login import FLAG, Access, Login, login_of
from spanledger_dashboard.server import command
from spanledger_dashboard.viewer import NoAccessError, scope_of

NOW: Final = datetime(2026, 11, 26, 12, tzinfo=UTC)
ACCESS: Final = Access("teams", "*", 12, "finops@example.com")
BORN: Final = int((NOW - timedelta(hours=11)).timestamp())
CLAIMS: Final[dict[str, Any]] = {"is_logged_in": True, "iat": BORN, "email": "ann@example.com"}


@pytest.mark.parametrize(
    ("said", "claim", "scope"),
    [
        ({"teams": ["search", "ads"]}, "teams", scope_of_teams(["ads", "search"])),
        ({"teams": "search"}, "teams", scope_of_teams(["search"])),
        ({"teams": ["*"]}, "teams", EVERYTHING),
        ({"teams": ["search", "*"]}, "teams", EVERYTHING),
        ({"realm": {"teams": ["search"]}}, "realm.teams", scope_of_teams(["search"])),
        ({"https://a.b/teams": ["search"]}, "https://a.b/teams", scope_of_teams(["search"])),
    ],
)
def test_a_claim_names_teams_or_everything(said: dict[str, Any], claim: str, scope: Scope) -> None:
    assert scope_of(CLAIMS | said, Access(claim, "*", 12, ""), NOW) == scope


NOTHING: Final = (
    "Your login (ann@example.com) names no team, so there is nothing that you may see. "
    "Ask finops@example.com for the claim teams."
)
OVER: Final = "Your login is over."


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, NOTHING),
        ({"teams": None}, NOTHING),
        ({"teams": []}, NOTHING),
        ({"teams": ""}, NOTHING),
        ({"teams": 7}, NOTHING),
        ({"teams": True}, NOTHING),
        ({"teams": {"search": True}}, NOTHING),
        ({"teams": ["search", 7]}, NOTHING),
        ({"teams": [["search"]]}, NOTHING),
        ({"teams": ["search", ""]}, "Your login names a team without a name. Ask finops@example.com."),
        ({"teams": ["search"], "iat": None}, OVER),
        ({"teams": ["search"], "iat": True}, OVER),
        ({"teams": ["search"], "iat": "now"}, OVER),
        ({"teams": ["search"], "iat": 1e300}, OVER),
        ({"teams": ["search"], "iat": float("nan")}, OVER),
        ({"teams": ["search"], "iat": BORN - 3600}, OVER),
        ({"teams": ["search"], "iat": BORN + 12 * 3600}, OVER),
        ({"teams": ["search"], "is_logged_in": False}, "Log in to see what your teams spend."),
        ({"teams": ["search"], "is_logged_in": "yes"}, "Log in to see what your teams spend."),
    ],
)
def test_a_claim_that_is_not_as_it_should_be_shows_nothing(said: dict[str, Any], told: str) -> None:
    with pytest.raises(NoAccessError) as refused:
        scope_of(CLAIMS | said, ACCESS, NOW)
    assert str(refused.value) == told


def test_without_a_word_for_everything_nobody_sees_it() -> None:
    assert scope_of(CLAIMS | {"teams": ["*"]}, Access("teams", "", 12, ""), NOW) == scope_of_teams(["*"])


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A provider and a client in the settings; returns the home."""
    for setting in settings.SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text('se"cret\n', "utf-8")
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPANLEDGER_LAKE", str(tmp_path))
    monkeypatch.setenv("SPANLEDGER_LOGIN_PROVIDER", "https://id.example.com/realm/")
    monkeypatch.setenv("SPANLEDGER_LOGIN_CLIENT_ID", "ledger")
    monkeypatch.setenv("SPANLEDGER_LOGIN_SECRET_FILE", str(tmp_path / "secret"))
    return tmp_path / "home"


def written(login: Login | None, home: Path, port: int = 8501) -> dict[str, Any]:
    assert login is not None
    path = login.write(home, port)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))["auth"]
    return found


def test_secrets_are_written_for_their_owner_and_cookies_hold_over_a_restart(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = written(login_of(settings.load()), named)
    cookie = told.pop("cookie_secret")
    assert told == {
        "redirect_uri": "http://127.0.0.1:8501/oauth2callback",
        "client_id": "ledger",
        "client_secret": 'se"cret',
        "server_metadata_url": "https://id.example.com/realm/.well-known/openid-configuration",
        "client_kwargs": {"scope": "openid email profile"},
    }
    assert (len(cookie), written(login_of(settings.load()), named)["cookie_secret"]) == (64, cookie)
    monkeypatch.setenv("SPANLEDGER_LOGIN_CLIENT_ID", "another")
    monkeypatch.setenv("SPANLEDGER_DASHBOARD_ADDRESS", "https://ledger.example.com/")
    other = written(login_of(settings.load()), named)
    assert other["cookie_secret"] != cookie
    assert other["redirect_uri"] == "https://ledger.example.com/oauth2callback"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SPANLEDGER_LOGIN_CLIENT_ID", "", "viewers can't log in without it"),
        ("SPANLEDGER_LOGIN_CLAIM", "", "viewers can't log in without it"),
        ("SPANLEDGER_LOGIN_SECRET_FILE", "", "viewers can't log in without the client's secret"),
        ("SPANLEDGER_LOGIN_SECRET_FILE", "nowhere", "can't be read"),
        ("SPANLEDGER_LOGIN_PROVIDER", "id.example.com", "expected an address such as https://"),
        ("SPANLEDGER_LOGIN_PROVIDER", "http://id.example.com", "can't be told without TLS"),
        ("SPANLEDGER_DASHBOARD_ADDRESS", "ledger.example.com", "expected an address such as https://"),
    ],
)
def test_a_login_that_could_not_work_is_refused_at_the_start(
    named: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingError, match=told) as refused:
        login_of(settings.load())
    assert refused.value.where == variable


def test_pages_are_told_with_the_command_who_may_see_what(tmp_path: Path) -> None:
    address = "https://ledger.example.com"
    argv = command(tmp_path, 8501, host="0.0.0.0", address=address, access=ACCESS, secrets=tmp_path)
    assert Access.read(argv[argv.index(FLAG) + 1]) == ACCESS
    assert [word for word in argv if "Hosts" in word] == [
        f"--server.allowedHosts={host}" for host in ("127.0.0.1", "localhost", "ledger.example.com")
    ]
    assert {"--server.address=0.0.0.0", f"--secrets.files={tmp_path}"} < set(argv)
    alone = command(tmp_path, 8501)
    assert (FLAG in alone, "--server.address=127.0.0.1" in alone) == (False, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dashboard", "--host", "0.0.0.0"],
        ["dashboard", "--host", "::"],
        ["dashboard", "--host", "ledger.internal"],
        ["dashboard", "--dashboard-address", "https://ledger.example.com"],
    ],
)
def test_without_a_login_strangers_are_not_let_in(
    named: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.delenv("SPANLEDGER_LOGIN_PROVIDER")
    done = CliRunner().invoke(cli, [*arguments, "--dashboard-port", "0"])
    assert done.exit_code == 1
    assert "any machine that reaches it could see everything; have viewers log in" in f"{done.output}{done.exception}"


def test_another_machine_needs_an_address_to_open(named: Path) -> None:
    done = CliRunner().invoke(cli, ["dashboard", "--host", "0.0.0.0", "--dashboard-port", "0"])
    assert (done.exit_code, "give it as --dashboard-address" in f"{done.output}{done.exception}") == (1, True)
