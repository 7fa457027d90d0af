"""What rose and fell, drawn from the report on movers over a ledger that can be added up by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import plotly.graph_objects as go
import pytest

from small_ledger import small_ledger
from spanledger_analytics.reports.calendar import Period
from spanledger_analytics.reports.question import Question
from spanledger_analytics.reports.registry import REPORTS
from spanledger_dashboard import headlines
from spanledger_dashboard.charts.colours import BLUE, VERMILLION
from spanledger_dashboard.charts.movers import Move, movers_figure, moves_of


@pytest.fixture(scope="module")
def moves(tmp_path_factory: pytest.TempPathFactory) -> list[Move]:
    ledger = small_ledger(Path(tmp_path_factory.mktemp("movers")) / "lake")
    asked = Question(Period(date(2026, 11, 9), date(2026, 11, 15)), ("feature",))
    return moves_of(REPORTS["movers"].answer(ledger, asked).frame, "feature", "(no feature)", most=7)


def test_the_largest_change_stands_first_whether_up_or_down(moves: list[Move]) -> None:
    # find: 13.10 before, 5 now; draft: nothing before, 3.50 + 1.20 + 3 + 6; answer: 4, 3; nothing said: 2, 1.
    assert [(move.id, move.name, move.change_usd) for move in moves] == [
        ("draft", "draft", Decimal("13.7")),
        ("find", "find", Decimal("-8.1")),
        ("answer", "answer", Decimal(-1)),
        ("", "(no feature)", Decimal(-1)),
    ]


def test_the_headline_names_what_rose_most_and_what_fell(moves: list[Move]) -> None:
    assert headlines.movers(moves) == "draft rose most, by $13.70: new; find fell by $8.10"
    assert headlines.movers(moves[1:2]) == "find fell most, by $8.10: number of calls"
    assert headlines.movers([]) == "Nothing rose or fell"


def test_bars_go_to_either_side_and_the_whole_row_can_be_picked(moves: list[Move]) -> None:
    figure = movers_figure(moves)
    bars, hits = go.Figure(figure.to_dict()).data
    assert list(bars.x) == [13.7, -8.1, -1, -1]
    assert list(bars.marker.color) == [VERMILLION, BLUE, BLUE, BLUE]
    assert list(bars.text) == [
        "+$13.70  ·  new",
        "-$8.10  ·  -62 %  ·  number of calls",
        "-$1.00  ·  -25 %  ·  number of calls",
        "-$1.00  ·  -50 %  ·  output per call",
    ]
    low, high = figure.layout.xaxis.range
    assert low < -8.1 < 13.7 < high
    assert [picked[0] for picked in hits.customdata] == ["draft", "find", "answer", ""]
    assert list(hits.base) == [low] * 4
    assert hits.customdata[1][1].startswith("<b>find</b><br><b>$5</b>, before $13.1<br>number of calls  -$")


def test_a_name_from_a_span_is_no_markup(moves: list[Move]) -> None:
    strange = Move("<b>x</b>", "<b>x</b>", moves[0].row)
    figure = go.Figure(movers_figure([strange]).to_dict())
    assert figure.layout.yaxis.ticktext == ("&lt;b&gt;x&lt;/b&gt;",)
    assert figure.data[1].customdata[0][1].startswith("<b>&lt;b&gt;x&lt;/b&gt;</b>")
