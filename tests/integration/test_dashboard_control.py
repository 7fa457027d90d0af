"""The pages under Control: what may be spent, and what fires."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ledger_rows import call, make_lake
from spanledger_analytics.alerts.silences import Matcher
from spanledger_analytics.alerts.states import Alert
from spanledger_analytics.alerts.store import Store
from spanledger_analytics.connection import Ledger
from spanledger_analytics.reports.calendar import Calendar, Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.scope import EVERYTHING, scope_of_teams
from spanledger_dashboard import silencing
from spanledger_dashboard.budgets import budget_rules, known_budgets
from spanledger_dashboard.data import Lake
from spanledger_dashboard.format import usd
from wasteful import wasteful

NOW = datetime.now(UTC)
OVER = next(
    day
    for day in (NOW.date() - timedelta(days=back) for back in (1, 2, 3))
    if day.weekday() != 6 and (day + timedelta(days=1)).month == day.month
)
"""The last day that is over and ends neither a week nor a month."""
RULES = """
[[rule]]
name = "all"
kind = "budget"
usd = "100000"
[[rule]]
name = "teams"
kind = "budget"
by = "team"
period = "week"
usd = { support = "0.01", "*" = "5000", sales = "7" }
[[rule]]
name = "users"
kind = "budget"
by = "user"
usd = "9"
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("control") / "lake", wasteful(NOW, 8))


@pytest.fixture
def home(tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path


def let_be_today(day: date, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a day that is over be today: in the first minutes of a week or month nothing of it is counted yet."""
    read = Calendar.today
    moment = datetime.combine(day, time(12), UTC)
    monkeypatch.setattr(Calendar, "today", lambda self, now=None: read(self, now or moment))


def shown(part: Callable[[], None]) -> AppTest:
    page = AppTest.from_function(part, default_timeout=120).run()
    assert not page.exception
    return page


def titles(page: AppTest) -> list[str]:
    return [title.value.replace("\\", "") for title in page.subheader]


def budgets() -> None:
    from spanledger_dashboard.pages import budgets

    budgets.page()


def test_each_budget_says_when_it_runs_out(home: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_be_today(OVER, monkeypatch)
    (home / "alerts.toml").write_text(RULES.split('[[rule]]\nname = "users"')[0], "utf-8")
    said = titles(shown(budgets))
    every = known_budgets(budget_rules(), Lake(lake, EVERYTHING), Calendar()).listed
    assert said[0] == f"1 of {len(every)} budgets is used up"
    assert [title.split(":")[0].lower() for title in said[1:]] == [one.whose for one in every]
    assert said[1] == "All calls: the monthly budget of $100.0k lasts"
    assert [title.rsplit(" ", 3)[0] for title in said if "support" in title] == [
        "Team support: the weekly budget of $0.010 was used up on"
    ]
    assert {one.value for one in every} >= {None, "support", "sales"}


def test_budgets_of_more_values_than_are_listed_are_counted_all_the_same(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = (NOW.replace(day=1) - timedelta(days=1)).date().replace(day=27)
    let_be_today(late, monkeypatch)
    start = datetime.combine(late, time(), UTC)
    calls = [
        call(user, 1, start, uncached=8_000_000 // (1 + user // 15), output=0, user_id=f"u{user}") for user in range(20)
    ]
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", f"{make_lake(tmp_path / 'lake', calls)}"])

    def said(usd: str) -> tuple[str, str]:
        rule = f'[[rule]]\nname = "users"\nkind = "budget"\nby = "user"\nperiod = "month"\nusd = {usd}\n'
        (home / "alerts.toml").write_text(rule, "utf-8")
        page = shown(budgets)
        assert len(titles(page)) == 1 + 12
        (more,) = (each.value.replace("\\", "") for each in page.caption if "listed" in each.value)
        return titles(page)[0], more

    assert said('{ "*" = "9" }') == (
        "15 of 20 budgets are used up",
        "8 more budgets, of which less is used, aren't listed; 3 of them are used up.",
    )
    assert said('{ "*" = "90" }') == (
        "The 12 listed of 20 budgets last",
        "8 more budgets, of which less is used, aren't listed.",
    )


def test_without_a_budget_there_is_the_months_forecast_and_how_to_write_one(
    home: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_be_today(OVER, monkeypatch)
    page = shown(budgets)
    month = Question(Period(OVER - timedelta(days=89), OVER))
    row = REPORTS["forecast"].answer(Ledger(lake, EVERYTHING), month).frame.row(0, named=True)
    assert titles(page) == [f"This month will cost {usd(row['forecast_usd'])}"]
    assert page.code[0].value.startswith('[[rule]]\nname = "monthly budget"\nkind = "budget"\nusd = "1000"')
    (home / "alerts.toml").write_text(page.code[0].value, "utf-8")
    (said,) = known_budgets(budget_rules(), Lake(lake, EVERYTHING), Calendar()).listed
    assert said.usd == Decimal(1000)


def test_a_file_of_rules_that_can_not_be_used_is_told_with_its_line(home: Path) -> None:
    (home / "alerts.toml").write_text('[[rule]]\nname = "x"\nkind = "budget"\nusd = "-1"\n', "utf-8")
    assert "usd" in shown(budgets).warning[0].value


def test_a_viewer_of_a_team_sees_what_rules_allow_that_team(home: Path, lake: Path) -> None:
    (home / "alerts.toml").write_text(RULES, "utf-8")
    seen = Lake(lake, scope_of_teams(["support"]))
    (said,) = known_budgets(budget_rules(), seen, Calendar()).listed
    assert (said.rule, said.value, said.usd) == ("teams", "support", Decimal("0.01"))


def fires(store: Store, rule: str, team: str, begun: datetime) -> Alert:
    labels = {"alertname": rule, "kind": "velocity", "scope": "team", "severity": "warning", "team": team}
    alert = Alert(rule, labels, "firing", begun, Decimal(9), Decimal(2), "USD", f"{rule} costs", fired_at=begun)
    store.put_alerts({}, {alert.fingerprint: alert})
    store.note(alert, "firing", begun)
    return alert


def alerts() -> None:
    from spanledger_dashboard.cards import firing
    from spanledger_dashboard.components.bar import asked_window

    firing.show_firing(asked_window())
    firing.show_history(asked_window())


def test_what_fires_is_silenced_for_a_while_and_told_again_when_that_is_ended(home: Path) -> None:
    store = Store(home)
    labels = fires(store, "dear", "a, b=c", NOW - timedelta(hours=1)).labels
    page = shown(alerts)
    assert titles(page) == ["1 alert of 1 rule fires", "1 rule fired 1 time"]

    page.text_input[0].set_value("deploy")
    (silence,) = (button for button in page.button if button.label == "Silence it")
    silence.click().run()
    (made,) = store.silences()
    assert [str(matcher) for matcher in made.matchers] == ["alertname=dear", "team=a, b=c"]
    assert (made.until - made.made_at, made.comment) == (timedelta(hours=4), "deploy")
    assert made.holds(labels, datetime.now(UTC))
    silencing.silence("dear", "team=a, b=c", timedelta(hours=4), "deploy")
    assert store.silences() == [made]

    page.button(key=f"end-{made.number}").click().run()
    assert not store.silences()[0].holds(labels, datetime.now(UTC))
    assert [button.label for button in page.button] == ["Silence it"]


def test_a_silence_is_of_the_alert_for_which_it_was_written_whatever_fires_meanwhile(home: Path) -> None:
    store = Store(home)
    noisy = fires(store, "noisy", "a", NOW - timedelta(hours=1))
    page = shown(alerts)
    comment, silence = (f"{each.key}" for each in (page.text_input[0], page.button[0]))
    fires(store, "runaway", "b", NOW - timedelta(minutes=1))
    page.text_input(key=comment).set_value("known").run()
    assert [title.value.split("**")[1] for title in page.markdown] == ["runaway · team\\=b", "noisy · team\\=a"]
    assert [field.value for field in page.text_input] == ["", "known"]
    page.button(key=silence).click().run()
    assert [(one.comment, one.holds(noisy.labels, NOW)) for one in store.silences()] == [("known", True)]


def test_a_silence_that_can_not_be_kept_or_ended_is_told_in_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger_analytics.alerts.store._BUSY_S", 0.05)
    store = Store(home)
    fires(store, "noisy", "a", NOW - timedelta(hours=1))
    store.silence([Matcher("alertname", "other")], NOW + timedelta(hours=1), "", NOW)
    before = store.silences()
    page = shown(alerts)
    for label in ("Silence it", "End it"):
        with store.transaction():
            next(button for button in page.button if button.label == label).click().run()
        assert not page.exception
        (said,) = (warning.value.replace("\\", "") for warning in page.warning)
        assert said.startswith(f"That wasn't kept: {home / 'alerts.sqlite'} can't be used (database is locked)")
        assert store.silences() == before
    assert not page.run().warning


def test_without_rules_the_page_says_how_to_begin_and_a_viewer_of_a_team_silences_nothing(
    home: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = shown(alerts)
    assert titles(page) == ["No alert fires", "No alert fired then"]
    assert "spanledger alerts init" in page.caption[0].value

    Store(home).close()
    monkeypatch.setattr(silencing, "shown_lake", lambda: Lake(lake, scope_of_teams(["support"])))
    silencing.silence("dear", "", timedelta(hours=1), "")
    assert (silencing.may_silence(), silencing.held(), Store(home).silences()) == (False, [], [])
