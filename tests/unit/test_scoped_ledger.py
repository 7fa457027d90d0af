"""A ledger of some teams answers as if there were nobody else, whatever it is asked."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

import spanledger_analytics as scoped_sql
from ledger_rows import Row, call, make_lake
from spanledger_analytics import drill, live, spend
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.counting import refresh
from spanledger_analytics.errors import ScopeError
from spanledger_analytics.reports.answer import Answer
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.totals import add_up, totals
from spanledger_analytics.scope import EVERYTHING, parse_scope, scope_of_teams
from spanledger_analytics.snapshot import Snapshots
from spanledger_analytics.spend import Filters
from two_teams import DAYS, HIDDEN, two_teams, with_alerts, words_in

LAST: Final = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)
TODAY: Final = LAST.date()
FIRST: Final = TODAY - timedelta(days=DAYS)
ANSWERS: Final[Mapping[str, Callable[[Ledger], Any]]] = {
    "days": lambda ledger: spend.days(ledger, FIRST, TODAY),
    "days of a team": lambda ledger: spend.days(ledger, FIRST, TODAY, Filters(team="amber")),
    "days of another team": lambda ledger: spend.days(ledger, FIRST, TODAY, Filters(team="birch")),
    "days of no team": lambda ledger: spend.days(ledger, FIRST, TODAY, Filters(team="")),
    "days of a feature and model": lambda ledger: spend.days(
        ledger, FIRST, TODAY, Filters(feature="amber-feature-1", model="gpt-5", environment="amber-environment")
    ),
    "days by model": lambda ledger: spend.days_by_model(ledger, FIRST, TODAY),
    "hours": lambda ledger: [spend.hours(ledger, day) for day in _some_days()],
    "hours by model": lambda ledger: [spend.hours_by_model(ledger, day) for day in _some_days()],
    "filter values": lambda ledger: spend.filter_values(ledger, FIRST, TODAY),
    "tag values": lambda ledger: spend.tag_values(ledger, FIRST, TODAY),
    "hours of a tag": lambda ledger: spend.hours(ledger, TODAY, Filters(tags=(("nobody", ""),))),
    "unpriced": lambda ledger: spend.unpriced(ledger, FIRST, TODAY),
    "unpriced models": lambda ledger: ledger.ask("unpriced_models"),
    "users": lambda ledger: [drill.users(ledger, day, hour) for day in _some_days() for hour in (None, LAST.hour - 2)],
    "requests": lambda ledger: [
        drill.requests(ledger, day, None, user) for day in _some_days() for user in _users(ledger, day)
    ],
    "requests of another team": lambda ledger: drill.requests(ledger, TODAY, None, "birch-user-1"),
    "traces": lambda ledger: [drill.trace(ledger, TODAY, trace) for trace in _traces()],
    "traces without their day": lambda ledger: [drill.trace(ledger, None, trace) for trace in _traces()],
    "steps": lambda ledger: [drill.span(ledger, TODAY, *step) for step in _steps(ledger)],
    "outcomes": lambda ledger: [drill.outcomes(ledger, TODAY, trace, _sessions(ledger)) for trace in _traces()],
    "outcomes of an earlier day": lambda ledger: [
        drill.outcomes(ledger, TODAY - timedelta(days=12), f"{trace:032x}", ["amber-session-1", "birch-session-1"])
        for trace in (0xA3BE_00C0, 0xA3BE_00C1, 0xB1BC_00C0, 0x5A5A_000C)
    ],
    "rate": lambda ledger: live.rate(ledger, LAST),
    "minutes": lambda ledger: live.minutes(ledger, LAST),
}


def _some_days() -> list[date]:
    """Return days that are counted and days that aren't, one with settled calls among each."""
    return [TODAY - timedelta(days=back) for back in range(6)]


def _users(ledger: Ledger, day: date) -> list[str]:
    return sorted(drill.users(ledger, day)["user_id"])


def _traces() -> list[str]:
    """Return one of each team, one of nobody and one that two teams share, all of today."""
    return [f"{trace:032x}" for trace in (0xA3BE_0000, 0xB1BC_0000, 0x0B0D_0000, 0x5A5A_0000)]


def _steps(ledger: Ledger) -> list[tuple[str, str]]:
    return [(trace, step) for trace in _traces() for step in drill.trace(ledger, TODAY, trace)["span_id"]]


def _sessions(ledger: Ledger) -> list[str]:
    named = [drill.trace(ledger, TODAY, trace)["session_id"].drop_nulls() for trace in _traces()]
    return sorted({session for each in named for session in each})


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_teams(tmp_path_factory.mktemp("both"), LAST)


@pytest.fixture(scope="module")
def amber(lake: Path) -> Ledger:
    """The ledger of who sees one of the teams."""
    return Ledger(lake, scope_of_teams(["amber"]))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The ledger that there were if that were the only team."""
    return Ledger(two_teams(tmp_path_factory.mktemp("amber"), LAST, "amber"), EVERYTHING)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_alerts(tmp_path_factory.mktemp("home"), LAST)


def rows(answer: object) -> object:
    """Return frames as rows."""
    if isinstance(answer, pl.DataFrame):
        return answer.schema, answer.rows()
    if isinstance(answer, Answer):
        return rows(answer.frame), answer.notes
    return [rows(one) for one in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("name", ANSWERS)
def test_a_question_is_answered_as_if_there_were_nobody_else(amber: Ledger, alone: Ledger, name: str) -> None:
    seen = rows(ANSWERS[name](amber))
    assert seen == rows(ANSWERS[name](alone))
    assert words_in(str(seen)) == set()


ASKED: Final[Mapping[str, Mapping[str, Any]]] = {
    "alerts": {"by": (), "options": {}},
    "anomalies": {"by": ("user",), "options": {"now": LAST.isoformat()}},
    "compare": {"by": (), "options": {"to": "period=previous"}},
}
"""What reports have to be asked that don't answer without."""


def reported(ledger: Ledger, name: str, **options: Any) -> Answer:
    report = REPORTS[name]
    more = ASKED.get(name, {})
    named = {option.name for option in report.options}
    now = {"now": f"{LAST:%Y-%m-%dT%H:%M}"} if "now" in named else {}
    asked = Question(Period(FIRST, TODAY), more.get("by", report.by))
    return report.answer(ledger, asked, **(now | options))


@pytest.mark.parametrize("name", [name for name in REPORTS if name != "alerts"])
def test_a_report_says_what_it_would_if_there_were_nobody_else(amber: Ledger, alone: Ledger, name: str) -> None:
    seen = reported(amber, name)
    assert seen.frame.height
    assert rows(seen) == rows(reported(alone, name))
    assert words_in(str(rows(seen))) == set()


def test_alerts_of_a_team_are_seen_and_no_others(amber: Ledger, home: Path) -> None:
    seen = reported(amber, "alerts", home=str(home))
    assert seen.frame.select("state", "rule", "scope").rows() == [
        (state, "amber-rule", "team=amber") for state in ("firing", "resolved")
    ]
    assert seen.notes == ("1 firing, 1 over in these days",)
    assert words_in(str(seen)) == set()
    everything = reported(Ledger(amber.lake, EVERYTHING), "alerts", home=str(home))
    assert everything.notes == ("4 firing, 4 over in these days",)


def test_who_sees_everything_finds_every_word_that_the_others_do_not(lake: Path, home: Path) -> None:
    everything = Ledger(lake, EVERYTHING)
    seen = [rows(ANSWERS[name](everything)) for name in ("filter values", "unpriced", "traces", "hours by model")]
    assert words_in(str([*seen, rows(reported(everything, "alerts", home=str(home)))])) == set(HIDDEN)


@pytest.mark.parametrize("name", ["spend", "unit-cost", "margin"])
def test_without_a_team_nothing_is_seen(lake: Path, name: str) -> None:
    nothing = Ledger(lake, scope_of_teams([]))
    assert reported(nothing, name).frame.height == 0
    assert spend.days_by_model(nothing, FIRST, TODAY).height == 0
    assert len(set(nothing.reach())) == 1


def test_a_ledger_is_not_scoped_by_what_rollups_do_not_tell(lake: Path) -> None:
    with pytest.raises(ScopeError, match="a ledger's scope is told by team_id alone, not by team_id, user_id"):
        Ledger(lake, parse_scope(["team_id=amber", "user_id=u"]))
    with pytest.raises(ScopeError, match="a team without a name can't be seen"):
        scope_of_teams(["amber", ""])


RAW: Final = (
    "all_rows",
    "read_parquet",
    "files_in",
    "rows_in",
    "unfolded_in",
    "touched_in",
    "settled_in",
    "superseded_in",
)
"""What reads rows past a scope: only macros may name it, and what asks a lake and not a ledger."""
UNSCOPED: Final = ("verify_money", "verify_repeats", "verify_said")


def test_no_question_reads_rows_past_the_macros_of_a_scope() -> None:
    folder = Path(scoped_sql.__file__).parent / "sql"
    asked = [path for path in folder.rglob("*.sql") if path.parent.name != "views" and path.stem not in UNSCOPED]
    assert len(asked) > 50
    for path in asked:
        assert [name for name in RAW if re.search(rf"\b{name}\b", path.read_text("utf-8"))] == [], path


SEEDS: Final = 20 if os.environ.get("SPANLEDGER_PROVE") else 1
MEASURED: Final = (("day", "model"), ("feature",), ("user", "team"), ())


def random_rows(draw: random.Random) -> Iterator[Row]:
    """Yield calls of few traces over three days, of some teams, of one without a name, or of none."""
    for number in range(60):
        trace = draw.randint(1, 12)
        start = LAST - timedelta(days=draw.randint(0, 2), minutes=draw.randint(0, 600))
        tags: Row = {
            "team_id": draw.choice([None, "", "amber", "birch", "cedar"]),
            "user_id": draw.choice([None, "u", "v"]),
            "feature": draw.choice([None, "f", "g"]),
            "environment": draw.choice(["live", "test"]),
        }
        model = draw.choice(["gpt-5", "gpt-5-mini", "nobody-knows"])
        yield call(trace, number, start, model, draw.randint(1, 9000), draw.randint(0, 900), **tags)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_teams_and_the_rest_add_up_to_everything(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lake = make_lake(tmp_path, list(random_rows(draw)))
    snapshot = Snapshots(lake).now()
    refresh(snapshot, draw.sample(sorted(snapshot.fingerprints()), 2))
    everything = Ledger(lake, EVERYTHING)
    teams = [Ledger(lake, scope_of_teams(names)) for names in (["amber"], ["birch", "cedar"])]
    period = Period(FIRST, TODAY)
    for by in MEASURED:
        whole, rest = (totals(everything, Question(period, by, parse_where(said))) for said in ([], ["team="]))
        parts = [rest, *(totals(ledger, Question(period, by)) for ledger in teams)]
        assert add_up(pl.concat(parts), by).rows() == whole.rows(), by
    for ledger, names in zip(teams, ("('amber')", "('birch', 'cedar')"), strict=True):
        counted = f"select dt, count(distinct trace_id) from llm_calls where team_id in {names} group by dt order by dt"
        requests = connect(lake).sql(counted).fetchall()
        assert spend.days(ledger, FIRST, TODAY).select("dt", "requests").rows() == requests
