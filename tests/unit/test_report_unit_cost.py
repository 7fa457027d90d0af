"""What a success costs, on a ledger that can be added up by hand and on random ones."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger_rows import Row, call, make_lake, outcome
from small_ledger import small_ledger
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.counting import refresh_rollups
from spanledger_analytics.errors import QuestionError
from spanledger_analytics.kept import is_kept
from spanledger_analytics.reports.answer import Answer
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question, parse_where
from spanledger_analytics.reports.registry import REPORTS
from spanledger_analytics.reports.totals import totals
from spanledger_analytics.reports.unit_cost import unit_cost
from spanledger_analytics.reports.work import cells_of_work, traces_of_work
from spanledger_analytics.scope import EVERYTHING

WEEKS = Period(date(2026, 11, 2), date(2026, 11, 15))
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 16, tzinfo=UTC)
UNIT_COST = REPORTS["unit-cost"]
DOLLAR = 800_000
"""Input tokens of gpt-5."""
COUNTS = ("successes", "failures", "silent", "undecided")


def ask(ledger: Ledger, *by: str, now: datetime = NOW, where: Iterable[str] = (), **options: Any) -> Answer:
    defaults: dict[str, Any] = {option.name: option.default for option in UNIT_COST.options} | {"more": True}
    return unit_cost(ledger, Question(WEEKS, by, parse_where(where)), now=now, **defaults | options)


def lake_of(folder: Path, rows: list[Row]) -> Ledger:
    return Ledger(make_lake(folder, rows), EVERYTHING)


def later(trace: int, hours: float, name: str = "resolved", **said: Any) -> Row:
    """Return the span of an outcome that says just this, of its trace or of a session."""
    keys = {"label": "gen_ai.evaluation.score.label", "score": "gen_ai.evaluation.score.value"}
    attributes = {"gen_ai.evaluation.name": name} | {
        keys[key]: said.pop(key) for key in ("label", "score") if key in said
    }
    moment = NOON + timedelta(hours=hours)
    event = {"time": moment.isoformat(), "name": "gen_ai.evaluation.result", "attributes": attributes}
    return outcome(trace, 99 + int(hours * 60), moment, **said) | {"events": json.dumps([event])}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return small_ledger(tmp_path_factory.mktemp("unit_cost") / "lake")


def test_by_feature(ledger: Ledger) -> None:
    # find: s1 4.10, s2 3.00 and s4 2.00 are successes, s6 4.00 isn't: 13.10 / 3; s7 and s10, 5.00, are undecided.
    # draft: s8 4.70 is one; s11 and s12, 9.00, are undecided. answer: s3 failed, s5 is silent, s9 undecided.
    answer = ask(ledger, "feature")
    columns = ("feature", "rank", "call_rank", "success_usd", "session_usd", "request_usd", "call_usd", *COUNTS)
    assert answer.frame.select(columns).rows() == [
        ("find", 1, 3, *map(Decimal, ("4.366667", "3.016667", "2.585714", "2.2625")), 3, 1, 0, 2),
        ("draft", 2, 4, *map(Decimal, ("4.7", "4.566667", "4.566667", "3.425")), 1, 0, 0, 2),
        (None, None, 1, None, *map(Decimal, ("1.5", "1.5", "1.5")), 0, 0, 1, 1),
        ("answer", None, 2, None, *map(Decimal, ("2.333333", "1.75", "1.75")), 0, 1, 1, 1),
    ]
    more = ("feature", "successes_per_usd", "cost_usd", "apart_usd", "requests", "calls", "unpriced_calls")
    assert answer.frame.select(more).rows() == [
        ("find", Decimal("0.229008"), Decimal("18.1"), Decimal(5), 7, 8, 0),
        ("draft", Decimal("0.212766"), Decimal("13.7"), Decimal(9), 3, 4, 0),
        (None, Decimal(0), Decimal(3), Decimal(1), 2, 2, 0),
        ("answer", Decimal(0), Decimal(7), Decimal(3), 4, 4, 1),
    ]
    # 23.80 / 4. Of cost less 3.266891 (48.321376) a success, over 8 sessions, the mean is 2.3646 standard errors off 0.
    assert answer.notes[-4:] == (
        "14 sessions (traces where calls name none): 4 successes, 2 failures, 2 silent, 6 undecided",
        "a success costs $5.95 (95 % interval $3.27 to $48.32, Fieller); 0.168067 successes a dollar",
        "set apart: $18.00 of work that ended within 7 days and has no outcome yet",
        "never judged: 2 (14.3 %) count as failed; --judged-only leaves them out",
    )


def test_a_late_outcome_is_of_the_day_of_its_work(ledger: Ledger) -> None:
    # s2, of the 2nd, was judged on the 3rd, s8, of the 9th, on the 9th: 9.10 / 2, 4.00 / 1 and 4.70 / 1
    found = ask(ledger, "day").frame.select("day", "success_usd", *COUNTS).rows()
    assert [(row[0].day, *row[1:]) for row in found] == [
        (2, Decimal("4.55"), 2, 1, 0, 0),
        (3, Decimal(4), 1, 0, 1, 0),
        (4, None, 0, 0, 1, 0),
        (5, None, 0, 1, 0, 0),
        (9, Decimal("4.7"), 1, 0, 0, 2),
        (10, None, 0, 0, 0, 2),
        (11, None, 0, 0, 0, 1),
        (12, None, 0, 0, 0, 1),
    ]


def test_the_window_ends_when_the_work_has(ledger: Ledger) -> None:
    # The call of s7 began at 09:00:00 on the 9th and took a second.
    ended = datetime(2026, 11, 16, 9, 0, 1, tzinfo=UTC)
    for moment, expected in ((ended, (0, 0, 1, 0)), (ended - timedelta(microseconds=1), (0, 0, 0, 1))):
        frame = ask(ledger, "session", now=moment, where=["session=s7"]).frame
        assert frame.select(COUNTS).rows() == [expected]
    assert ask(ledger, window=0).frame["undecided"].to_list() == [0]


def test_silent_work_can_be_left_out(ledger: Ledger) -> None:
    # 23.80 less s5 and trace 8, 4.00: 19.80 / 4
    answer = ask(ledger, judged_only=True)
    assert answer.frame.select("success_usd", "apart_usd", *COUNTS).rows() == [
        (Decimal("4.95"), Decimal(22), 4, 2, 2, 6)
    ]
    assert answer.notes[-1] == "set apart: $22.00 of work without an outcome, however long ago it ended"


def test_rows_have_few_columns_unless_more_are_asked_for(ledger: Ledger) -> None:
    few = ask(ledger, "feature", more=False).frame
    assert few.columns == ["feature", *(name for name in UNIT_COST.columns if name not in UNIT_COST.extras)]
    assert few.rows() == ask(ledger, "feature").frame.select(few.columns).rows()


def test_cheap_calls_with_few_successes_are_dear(tmp_path: Path) -> None:
    rows = []
    for number in range(40):
        cheap: Row = {"session_id": f"c{number}"}
        dear: Row = {"session_id": f"d{number}"}
        start = NOON + timedelta(minutes=number)
        rows += [call(1 + number, 1, start, "gpt-5-mini", 2_000_000, 0, **cheap)]
        rows += [call(101 + number, 1, start, "gpt-5", DOLLAR + 1000 * (number % 3), 0, **dear)]
        rows += [outcome(201 + number, 1, start, success=number % 10 == 0, **cheap)]
        rows += [outcome(301 + number, 1, start, success=number % 10 != 0, **dear)]
    answer = ask(lake_of(tmp_path, rows), "model")
    # 40 x 0.50 / 4, and 40 x 1.00 and 39 thousandths of 1.25 more, / 36
    assert answer.frame.select("model", "rank", "call_rank", "success_usd", "call_usd").rows() == [
        ("gpt-5", 1, 2, Decimal("1.112465"), Decimal("1.001219")),
        ("gpt-5-mini", 2, 1, Decimal(5), Decimal("0.5")),
    ]
    assert answer.notes[-1] == (
        "gpt-5-mini is cheaper by call than gpt-5 ($0.50, $1.00), dearer by success ($5.00, $1.11)"
    )


def test_ranks_that_turn_by_chance_are_told_as_such(ledger: Ledger) -> None:
    assert ask(ledger, "model").notes[-1] == (
        "gpt-5 is cheaper by call than claude-opus-4-5 ($2.11, $3.42), dearer by success ($5.03, $4.70); not certain, "
        "as their intervals overlap or have no end"
    )


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"label": "success", "score": 1.0}, "successes"),
        ({"label": "failure", "score": 0.0}, "failures"),
        ({"label": "relevant", "score": 0.5}, "successes"),
        ({"label": "relevant", "score": 0.499999}, "failures"),
        ({"label": "Pass"}, "successes"),
        ({"label": "relevant"}, "failures"),
        ({}, "successes"),
    ],
)
def test_what_a_success_is(tmp_path: Path, said: Row, expected: str) -> None:
    rows = [call(1, 1, NOON), later(1, 1, **said)]
    frame = ask(lake_of(tmp_path, rows)).frame
    assert {name: frame[name][0] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | {expected: 1}


def test_of_several_outcomes_the_latest_counts_and_of_other_names_none(tmp_path: Path) -> None:
    session: Row = {"session_id": "s"}
    rows = [
        call(1, 1, NOON, **session),
        call(2, 1, NOON, **session),
        later(1, 1, score=1.0),
        later(9, 2, score=0.0, **session),
        later(2, 3, "quality", score=0.7),
    ]
    found = lake_of(tmp_path, rows)
    cases: tuple[tuple[Row, tuple[int, ...]], ...] = (
        ({}, (1, 0, 0, 0)),
        ({"outcome": "resolved"}, (0, 1, 0, 0)),
        ({"outcome": "nothing"}, (0, 0, 1, 0)),
        ({"at_least": "0.8"}, (0, 1, 0, 0)),
        # By traces what was said of the session counts for none of them.
        ({"unit": "trace"}, (2, 0, 0, 0)),
        ({"unit": "trace", "outcome": "resolved"}, (1, 0, 1, 0)),
    )
    for options, expected in cases:
        assert ask(found, **options).frame.select(COUNTS).rows() == [expected], options


def test_an_outcome_that_names_a_session_is_of_no_other(tmp_path: Path) -> None:
    rows = [
        *(call(number, 1, NOON, session_id=f"s{number}") for number in (1, 2)),
        call(3, 1, NOON),
        later(1, 1, score=1.0, session_id="s2"),
        later(3, 1, score=1.0, session_id="unheard-of"),
    ]
    frame = ask(lake_of(tmp_path, rows), "session").frame.sort("session", nulls_last=True)
    assert frame.select("session", *COUNTS).rows() == [
        ("s1", 0, 0, 1, 0),
        ("s2", 1, 0, 0, 0),
        (None, 1, 0, 0, 0),
    ]


def test_a_session_counts_whole_for_what_most_of_its_money_went_to(tmp_path: Path) -> None:
    session: Row = {"session_id": "s"}
    rows = [
        call(1, 1, NOON, "gpt-5", DOLLAR, 0, feature="plan", **session),
        call(1, 2, NOON, "gpt-5-mini", 2_000_000, 0, feature="find", **session),
        call(2, 1, NOON + timedelta(days=1), "gpt-5-mini", 2_400_000, 0, feature="find", **session),
        call(3, 1, NOON, "gpt-5", 4 * DOLLAR, 0, **session),
        later(2, 30, score=1.0),
    ]
    # Features: 1.00 of plan, 0.50 and 0.60 of find, 4.00 of none, which doesn't count beside them.
    columns = ("cost_usd", "success_usd", "requests", "calls")
    frame = ask(lake_of(tmp_path, rows), "day", "model", "feature").frame
    assert frame.select("day", "model", "feature", *columns).rows() == [
        (date(2026, 11, 2), "gpt-5", "find", Decimal("6.1"), Decimal("6.1"), 3, 4)
    ]


def test_a_trace_with_calls_of_two_sessions_is_one_request(tmp_path: Path) -> None:
    rows = [call(1, number, NOON + timedelta(seconds=number), session_id=f"s{number}") for number in (1, 2)]
    frame = ask(lake_of(tmp_path, rows), "session").frame
    assert frame.select("session", "requests").sort("session").rows() == [("s1", 1), ("s2", 0)]


def test_no_calls_are_no_rows(tmp_path: Path) -> None:
    answer = ask(lake_of(tmp_path, []), "feature")
    assert (answer.frame.height, answer.notes) == (0, ("no calls in these days",))


@pytest.mark.parametrize("wrong", [{"window": -1}, {"at_least": "much"}, {"at_least": "-1"}])
def test_options_that_cannot_be_meant_are_refused(ledger: Ledger, wrong: Row) -> None:
    with pytest.raises(QuestionError, match="--window takes a number of days"):
        ask(ledger, **wrong)


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_those_of_a_naive_count(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lake = make_lake(tmp_path, [*_random_calls(draw), *_random_outcomes(draw)])
    unit, by = draw.choice(["session", "trace"]), draw.choice([("feature",), ("model",), ("day",), ("user", "model")])
    ledger = Ledger(lake, EVERYTHING)
    frame = ask(ledger, *by, unit=unit).frame
    found = {
        row[: len(by)]: row[len(by) :] for row in frame.select(*by, "cost_usd", "calls", "requests", *COUNTS).rows()
    }
    assert found == _naive(lake, by, unit)
    total = totals(ledger, Question(WEEKS))
    assert (frame["cost_usd"].sum(), frame["calls"].sum()) == (total["cost_usd"][0], total["calls"][0])


@pytest.mark.parametrize("unit", ["session", "trace"])
def test_days_that_are_kept_say_what_spans_do_of_work_of_several_days_and_late_outcomes(
    tmp_path: Path, unit: str
) -> None:
    draw = random.Random(7)
    rows = [*_random_calls(draw), *_random_outcomes(draw)]
    lake = make_lake(tmp_path, rows[:-5])
    ledger = Ledger(lake, EVERYTHING)
    by_spans = [ask(ledger, *by, unit=unit) for by in ((), ("day",))]
    refresh_rollups(lake)
    for _ in range(2):
        kept = [ask(ledger, *by, unit=unit) for by in ((), ("day",))]
        assert [(one.frame.rows(), one.notes) for one in kept] == [(one.frame.rows(), one.notes) for one in by_spans]
    for question in (cells_of_work("session"), traces_of_work("session")):
        assert is_kept(ledger, question, WEEKS.first, WEEKS.last) == (unit == "session")
    make_lake(lake, rows[-5:], version=1)
    frame = ask(ledger, "day", unit=unit).frame
    found = {row[0:1]: row[1:] for row in frame.select("day", "cost_usd", "calls", "requests", *COUNTS).rows()}
    assert found == _naive(lake, ("day",), unit)


def _random_calls(draw: random.Random) -> list[Row]:
    rows = []
    for number in range(1, 161):
        told: Row = {"session_id": draw.choice([None, *(f"s{one}" for one in range(25))])}
        told |= {"feature": draw.choice(["x", "y", None]), "user_id": draw.choice(["ann", "bob"])}
        start = NOON + timedelta(minutes=draw.randrange(12 * 1440))
        model = draw.choice(["gpt-5", "gpt-5-mini", "unknown"])
        rows.append(call(draw.randrange(1, 90), number, start, model, draw.randrange(1, 9_000), 50, **told))
    return rows


def _random_outcomes(draw: random.Random) -> list[Row]:
    of_sessions = [
        later(
            draw.choice([500 + one, one + 1]),
            draw.randrange(400),
            score=float(draw.randrange(2)),
            session_id=f"s{draw.randrange(25)}",
        )
        for one in range(12)
    ]
    return of_sessions + [
        later(trace, draw.randrange(400), score=float(draw.randrange(2))) for trace in draw.sample(range(1, 90), 25)
    ]


def _naive(lake: Path, by: tuple[str, ...], unit: str) -> dict[tuple[object, ...], tuple[object, ...]]:
    """Go through calls and outcomes one by one."""
    with connect(lake) as connection:
        calls: list[Row] = connection.sql("select * from llm_calls order by start_time, span_id").pl().to_dicts()
        told: list[Row] = connection.sql("select * from outcomes").pl().to_dicts()
    works: dict[str, list[Row]] = {}
    home: dict[str, str] = {}
    for one in calls:
        key = one["session_id"] if unit == "session" and one["session_id"] else one["trace_id"]
        works.setdefault(key, []).append(one)
        home.setdefault(one["trace_id"], key)
    rows: dict[tuple[object, ...], list[Any]] = {}
    for key, mine in works.items():
        traces = {one["trace_id"] for one in mine}
        of_it = [
            one
            for one in told
            if one["session_id"] == key
            or (one["trace_id"] in traces and (one["session_id"] is None or key == one["trace_id"]))
        ]
        last = min(of_it, key=lambda one: (-one["occurred_at"].timestamp(), one["outcome_id"]), default=None)
        ended = max(one["start_time"] for one in mine) + timedelta(seconds=1)
        state = 3 if ended > NOW - timedelta(days=7) else 2
        state = state if last is None else int(not last["score"])
        row = rows.setdefault(tuple(_value(mine, name) for name in by), [None, 0, 0, 0, 0, 0, 0])
        known = [one["cost_usd"] for one in mine if one["cost_usd"] is not None]
        row[0] = sum(known, row[0] or Decimal(0)) if known else row[0]
        row[1] += len(mine)
        row[2] += sum(place == key for place in home.values())
        row[3 + state] += 1
    return {key: tuple(row) for key, row in rows.items()}


def _value(mine: list[Row], name: str) -> object:
    """Return what most of the money of some calls went to."""
    if name == "day":
        return min(one["start_time"] for one in mine).date()
    sums: dict[str, tuple[Decimal, int]] = {}
    for one in mine:
        value = one["response_model"] if name == "model" else one["user_id" if name == "user" else name]
        if value is not None:
            cost, calls = sums.get(value, (Decimal(0), 0))
            sums[value] = (cost + (one["cost_usd"] or 0), calls + 1)
    return min(sums, key=lambda value: (-sums[value][0], -sums[value][1], value), default=None)
