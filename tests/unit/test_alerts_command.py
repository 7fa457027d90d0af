"""`spanledger alerts`: what a person types, and what is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from alert_sinks import WebhookSink
from ledger_rows import call, make_lake
from spanledger.settings import load
from spanledger_analytics.alert import Watcher
from spanledger_analytics.alerts.evaluate import evaluate
from spanledger_analytics.alerts.lookout import Lookout
from spanledger_analytics.alerts.rules_file import read_rules
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.alerts.watch import Watch
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar
from spanledger_analytics.scope import EVERYTHING
from spanledger_cli import cli
from spanledger_cli.alerts import _STARTING_FILE
from waiting import wait_until

RULE = '[alerting]\nevery = "1s"\n[[rule]]\nname = "fast"\nkind = "velocity"\nby = "team"\nfor = 1\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a lake with three days at $1 an hour, and $20 a minute ago."""
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPANLEDGER_LAKE", str(tmp_path / "lake"))
    monkeypatch.delenv("SPANLEDGER_ALERTS", raising=False)
    now = datetime.now(UTC)
    hours = [now.replace(minute=0, second=0) - timedelta(hours=back) for back in range(2, 75)]
    rows = [call(back, 1, hour, "gpt-5", 800_000, 0, team_id="search") for back, hour in enumerate(hours)]
    make_lake(
        tmp_path / "lake", [*rows, call(99, 1, now - timedelta(minutes=1), "gpt-5", 16_000_000, 0, team_id="search")]
    )
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["alerts", *arguments])


def told(done: Result) -> tuple[int, str]:
    return done.exit_code, f"{done.stderr}{done.exception if done.exit_code else ''}"


def test_without_a_file_the_command_says_how_to_get_one(home: Path) -> None:
    code, words = told(run("check"))
    assert (code, "alerts.toml isn't there, so nothing is watched; `spanledger alerts init`" in words) == (1, True)


def test_init_writes_a_file_once(home: Path) -> None:
    assert run("init").stdout == f"{home / 'alerts.toml'}\n"
    assert (home / "alerts.toml").read_text("utf-8") == _STARTING_FILE.read_text("utf-8")
    (home / "alerts.toml").write_text("# mine", "utf-8")
    assert "is there already; it stays as it is" in told(run("init"))[1]
    assert (home / "alerts.toml").read_text("utf-8") == "# mine"


def test_check_shows_what_would_fire_and_keeps_nothing(home: Path) -> None:
    (home / "alerts.toml").write_text(RULE, "utf-8")
    for _ in range(2):
        done = run("check", "--format", "json")
        assert done.exit_code == 0
        (row,) = json.loads(done.stdout)
        assert row == {
            "rule": "fast",
            "scope": "team=search",
            "state": "tripped",
            "value": "20.000000000000",
            "trip_level": "2.000000000000",
            "unit": "USD",
            "summary": "team search: $20.00 in the last 60 minutes, 2,000 % of the $1.00 that are usual"
            " (this hour of the day)",
        }
    assert Store(home).alerts() == {}


def test_check_tells_a_wrong_line(home: Path) -> None:
    (home / "alerts.toml").write_text(RULE + "floor_usd = 0.5\n", "utf-8")
    assert "alerts.toml, line 8: [[rule]] floor_usd: write the number in quotes" in told(run("check"))[1]


def test_the_process_evaluates_when_the_file_comes_and_list_shows_it(home: Path) -> None:
    watcher = Watcher(load())
    watcher.step()
    assert not (home / "alerts.sqlite").exists()
    (home / "alerts.toml").write_text(RULE, "utf-8")
    watcher.step()
    done = run("list", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (row["state"], row["rule"], row["scope"], row["severity"]) == ("firing", "fast", "team=search", "warning")
    assert "evaluated last at " in done.stderr
    (home / "alerts.toml").write_text("[[rule]]\n", "utf-8")

    def stepped() -> bool:
        watcher.step()
        return "[[rule]] kind: needed" in run("list").stderr

    wait_until(stepped, timeout_s=60, what="the wrong file to be told")
    assert [alert.state for alert in Store(home).alerts().values()] == ["firing"]


def test_a_file_that_is_wrong_at_the_start_ends_no_alert_and_one_that_is_gone_ends_them_all(home: Path) -> None:
    path, seconds = home / "alerts.toml", [0.0]
    path.write_text(RULE, "utf-8")
    Watch(load(), path, lambda: seconds[0]).step()
    path.write_text("[[rule]]\n", "utf-8")
    watch = Watch(load(), path, lambda: seconds[0])
    states = []
    for _ in range(3):
        watch.step()
        seconds[0] += 20
        states += [alert.state for alert in Store(home).alerts().values()]
    assert states == ["firing"] * 3
    path.unlink()
    for _ in range(2):
        watch.step()
        seconds[0] += 20
    watch.stop()
    assert [event["event"] for event in Store(home).history()] == ["resolved", "firing"]


def test_the_report_tells_what_fires_and_what_has_fired(home: Path) -> None:
    def report(*arguments: str) -> tuple[list[dict[str, Any]], str]:
        done = CliRunner().invoke(cli, ["report", "alerts", "--format", "json", *arguments])
        return json.loads(done.stdout or "[]"), f"{done.stderr}{done.exception or ''}"

    assert report()[0] == []
    assert "nothing was ever evaluated in this home" in report()[1]
    (home / "alerts.toml").write_text(RULE, "utf-8")
    Watcher(load()).step()
    ((row,), words) = report()
    assert (row["state"], row["rule"], row["scope"], row["resolved_at"]) == ("firing", "fast", "team=search", None)
    assert "1 firing, 0 over in these days" in words
    now = datetime.now(UTC)
    rules, lookout = read_rules(home / "alerts.toml"), Lookout(Ledger(home.parent / "lake", EVERYTHING), Calendar())
    for minute in (61, 62):
        evaluate(rules, lookout, Store(home), now + timedelta(minutes=minute))
    ((row,), words) = report()
    assert (row["state"], row["value"], row["resolved_at"] > row["fired_at"]) == ("resolved", "20.000000000000", True)
    assert "0 firing, 1 over in these days" in words
    assert report("--to", "2026-01-02", "--from", "2026-01-01")[0] == []
    assert "alerts aren't calls" in report("--where", "team=search")[1]


def test_test_tells_every_receiver_and_what_became_of_it(home: Path) -> None:
    with WebhookSink() as hook:
        receivers = f'[[receiver]]\nname = "ops"\nkind = "webhook"\nurl = "{hook.url}"\n'
        away = '[[receiver]]\nname = "away"\nkind = "webhook"\nurl = "http://127.0.0.1:1/key-of-mine"\n'
        (home / "alerts.toml").write_text(receivers + away, "utf-8")
        done = run("test")
        assert (done.exit_code, done.stdout.splitlines()) == (
            1,
            [
                "log (log, log): told, written to the log",
                "ops (webhook, 127.0.0.1): told, 200 OK",
                "away (webhook, 127.0.0.1): not told: 127.0.0.1 can't be reached: Connection refused",
            ],
        )
        assert run("test", "--receiver", "ops").exit_code == 0
    assert [body["alerts"][0]["annotations"]["summary"] for body in hook.bodies] == [
        "this is a test of spanledger; nothing is the matter"
    ] * 2
    assert "no receiver is called 'x'; there are log, ops, away" in told(run("test", "--receiver", "x"))[1]


def test_doctor_says_how_alerts_stand(home: Path) -> None:
    def found() -> tuple[str, str]:
        done = CliRunner().invoke(cli, ["doctor", "--format", "json", "--endpoint", "http://127.0.0.1:1"])
        (finding,) = [finding for finding in json.loads(done.stdout) if finding["check"] == "alerts"]
        return finding["state"], finding["detail"]

    path = home / "alerts.toml"
    assert found() == ("ok", "no rules, so nothing is watched; `spanledger alerts init` begins")
    path.write_text(RULE, "utf-8")
    assert found() == ("warn", f"1 rule of {path}; not evaluated yet: `spanledger up` and `collect` do")
    Watcher(load()).step()
    assert found() == ("ok", f"1 rule of {path}")
    path.write_text("[[rule]]", "utf-8")
    assert found() == ("warn", f"{path}, line 1: [[rule]] kind: needed, as text in quotes")


def test_a_home_that_cannot_be_used_is_a_sentence(home: Path) -> None:
    (home / "alerts.sqlite").write_bytes(b"no database at all, but something else" * 100)
    code, words = told(run("list"))
    assert (code, "alerts.sqlite can't be used (file is not a database); make room there" in words) == (1, True)


def test_silences_are_made_listed_and_ended(home: Path) -> None:
    assert run("silence", "make", "--for", "2h", "--comment", "deploy", "alertname=fast", "team!=x").stdout == "1\n"
    (row,) = json.loads(run("silence", "list", "--format", "json").stdout)
    assert (row["number"], row["matchers"], row["comment"]) == (1, "alertname=fast, team!=x", "deploy")
    assert run("silence", "end", "1").exit_code == 0
    assert json.loads(run("silence", "list", "--format", "json").stdout) == []
    assert "no silence 1 holds" in told(run("silence", "end", "1"))[1]
    assert "can't read 'team'" in told(run("silence", "make", "--for", "2h", "team"))[1]
    assert "is no length of time" in told(run("silence", "make", "--for", "soon", "a=b"))[1]
