"""`spanledger breaker`, beside an application whose breakers share its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner, Result

import spanledger
from guarded import gate, write_policy
from otlp_sink import OtlpSink
from spanledger.errors import BreakerOpen
from spanledger.guard.breaker import Breaker, Measured, State, encode
from spanledger.guard.policy import make_match
from spanledger.guard.sqlite import SqliteStore
from spanledger_cli import cli
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, switched_on

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
POLICY = """
store = "sqlite"

[[breaker]]
name = "a team's pace"
match = { team_id = "*" }
usd_per_minute = 2

[[breaker]]
name = "a run"
session_usd = 5

[[breaker]]
name = "all"
usd_per_minute = 100
shadow = true
"""
OPENED_MS = 1_796_000_000_000  # 2026-11-30T00:53:20Z


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder with a policy, and a collector for what is told."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "policy.toml").write_text(POLICY)
    with OtlpSink() as sink:
        monkeypatch.setenv("SPANLEDGER_ENDPOINT", sink.url)
        monkeypatch.setenv("SPANLEDGER_HOME", str(folder))
        yield folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["breaker", *arguments])


def keep(home: Path, *states: State) -> None:
    store = SqliteStore(home / "guard.sqlite")
    for state in states:
        assert store.put_state(state.key, encode(state), None)
    store.close()


def opened(scope: str = "team_id=red") -> State:
    trip = Measured("usd_per_minute", 2_500_000_000, 2_000_000_000, "usd")
    return State("a team's pace", scope, "open", OPENED_MS, trip=trip)


def test_those_that_are_not_closed_are_listed_with_their_reason(home: Path) -> None:
    keep(home, opened(), State("gone", "everything", "open", OPENED_MS, until_ms=OPENED_MS + 1000, by_hand=True))

    result = run("list")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "breaker        scope        state   since                 until                 shadow  reason",
        "a run                       closed",
        "a team's pace  team_id=red  open    2026-11-30T00:53:20Z                                "
        "$2.50 went in a minute, and it is set to $2.00",
        "all                         closed                                              yes",
        "gone           everything   open    2026-11-30T00:53:20Z  2026-11-30T00:53:21Z          by hand",
    ]


def test_programs_get_the_evidence_as_json(home: Path) -> None:
    keep(home, opened())

    found = {one["breaker"]: one for one in json.loads(run("list", "--format", "json").stdout)}

    assert list(found) == ["a run", "a team's pace", "all"]
    assert found["a team's pace"] == {
        "breaker": "a team's pace",
        "scope": "team_id=red",
        "state": "open",
        "since": "2026-11-30T00:53:20Z",
        "until": None,
        "by_hand": False,
        "shadow": False,
        "in_policy": True,
        "trip": "usd_per_minute",
        "unit": "usd",
        "value": "2.5",
        "limit": "2",
        "reason": "$2.50 went in a minute, and it is set to $2.00",
    }


def test_a_reset_closes_all_scopes_of_a_breaker_or_one(home: Path) -> None:
    keep(home, opened("team_id=red"), opened("team_id=blue"), opened("team_id=green"))

    one = run("reset", "a team's pace", "team_id=blue")
    rest = run("reset", "a team's pace")
    none = run("reset", "a team's pace")

    assert one.stdout == "a team's pace (team_id=blue): closed, was open\n"
    assert rest.stdout.splitlines() == [
        "a team's pace (team_id=green): closed, was open",
        "a team's pace (team_id=red): closed, was open",
    ]
    assert (none.exit_code, none.stdout) == (0, "")
    assert none.stderr == "a team's pace is closed; there was nothing to reset\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("trip", "a taem"), "no breaker is called 'a taem'; there are: a team's pace, a run, all"),
        (("trip", "a team's pace"), "counts several apart; write its scope as team_id=..."),
        (("trip", "a run"), "counts several apart; write its scope as session_id=..."),
        (("reset", "a team's pace", "user_id=ann"), "is not about user_id=ann; write its scope as team_id=..."),
        (("trip", "all", "--for", "soon"), "not 'soon'"),
    ],
)
def test_what_can_not_be_meant_is_a_usage_error_that_says_what_to_write(
    home: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert told in result.stderr


def test_breakers_in_the_memory_of_an_application_can_not_be_reached(home: Path) -> None:
    (home / "policy.toml").write_text(POLICY.replace('"sqlite"', '"memory"'))

    result = run("list")

    assert result.exit_code == 1
    assert 'inside the application, where no command reaches them; write store = "sqlite"' in str(result.exception)


def test_a_store_that_is_away_is_told(home: Path) -> None:
    (home / "guard.sqlite").write_text("no database")

    result = run("list")

    assert result.exit_code == 1
    assert "the store sqlite of " in str(result.exception)
    assert "can't be reached: " in str(result.exception)


def test_without_a_policy_there_is_no_breaker(home: Path) -> None:
    (home / "policy.toml").unlink()

    assert "isn't there, so there is no breaker" in str(run("list").exception)


def test_a_scope_with_one_value_needs_no_words() -> None:
    from spanledger_cli.breaker import _scope

    assert _scope(Breaker("b", make_match({"team_id": "red"}), usd_per_minute=1), None) == "team_id=red"
    assert _scope(Breaker("b", make_match({}), usd_per_minute=1), None) == "everything"


def test_an_application_is_stopped_by_hand_and_goes_on_after_a_reset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    write_policy(monkeypatch, tmp_path, POLICY)
    with (
        LocalProvider() as provider,
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client,
        switched_on(monkeypatch, home) as traced,
        spanledger.tags(team_id="red"),
    ):
        client.chat.completions.create(**CHAT)
        tripped = run("trip", "a team's pace", "team_id=red", "--for", "2h")
        gate().breakers._looked_ns = 0  # as though a second had gone by
        with pytest.raises(BreakerOpen, match=r"by hand; it closes at "):
            client.chat.completions.create(**CHAT)
        reset = run("reset", "a team's pace", "team_id=red")
        gate().breakers._looked_ns = 0
        client.chat.completions.create(**CHAT)
        changes = [span["attributes"] for span in traced.spans() if span["name"] == "spanledger.breaker"]

    assert tripped.exit_code == reset.exit_code == 0
    assert tripped.stdout.startswith("a team's pace (team_id=red): open until 20")
    assert [(one["team.id"], one["spanledger.guard.policy"]) for one in changes] == [("red", "a team's pace")] * 2
    assert [json.loads(one["spanledger.guard.decisions"])[0]["sentence"] for one in changes] == [
        "open, was closed: by hand",
        "closed, was open: by hand",
    ]
