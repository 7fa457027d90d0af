"""Each page, run by Streamlit without a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import spanledger_dashboard
from ledger_rows import call, make_lake, traffic
from spanledger_analytics.connection import connect
from spanledger_dashboard.format import change, day_name, usd
from spanledger_dashboard.server import command
from waiting import wait_until

ENTRY = Path(spanledger_dashboard.__file__).parent / "entry" / "app.py"
NOW = datetime.now(UTC)
PEAK = f"{(NOW - timedelta(days=2)).date()}"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("pages") / "lake", traffic(NOW))


@pytest.fixture(autouse=True)
def on_lake(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])


def explore() -> None:
    from spanledger_dashboard.pages import explore

    explore.page()


def explored(**parameters: str) -> AppTest:
    """Return a level of Explore; of a request, as it is when the browser has told that its waterfall stands."""
    page = AppTest.from_function(explore, default_timeout=120)
    page.query_params.update(parameters)
    if "t" in parameters:
        page.session_state["drawn-trace"] = parameters["t"]
    return page.run()


def doubtful() -> None:
    from decimal import Decimal

    from spanledger_analytics.spend import Doubts
    from spanledger_dashboard.components.heading import show_heading

    show_heading("What it cost", "How to read it", Doubts(3, 2, 1, Decimal("0.00045")))


def values(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def test_what_is_doubtful_in_a_sum_stands_over_its_chart() -> None:
    badges = [markdown.value for markdown in AppTest.from_function(doubtful, default_timeout=120).run().markdown]
    assert badges == [
        ":orange-badge[3 calls without a price, not in the sums]",
        r":blue-badge[\$0.0005 of it estimated, 1 call]",
        ":gray-badge[2 calls may still change]",
    ]


def test_the_first_level_says_what_the_period_cost(lake: Path) -> None:
    page = explored(days="14")
    first = datetime.now(UTC).date() - timedelta(days=13)
    asked = "select sum(cost_usd) from llm_calls where dt >= $first"
    cost = connect(lake).execute(asked, {"first": first}).fetchall()[0][0]
    assert not page.exception
    assert page.subheader[0].value.startswith(f"The last 14 days cost \\${cost:.2f}".replace(".", r"\."))


def test_a_day_has_its_crumb_filters_and_numbers(lake: Path) -> None:
    page = explored(d=PEAK)
    assert not page.exception
    day = datetime.fromisoformat(PEAK)
    before, after = day_name(day - timedelta(days=1)), day_name(day + timedelta(days=1))
    assert [button.label for button in page.button] == ["All days", f"← {before}", f"{after} →"]
    boxes = ["Go to an hour", "Team", "Feature", "Model", "Environment"]
    assert sorted(box.label for box in page.selectbox) == sorted(boxes)
    cost = connect(lake).execute("select sum(cost_usd) from llm_calls where dt = $dt", {"dt": PEAK}).fetchall()[0][0]
    assert values(page)["Cost"] == f"${cost:.2f}"
    assert values(page)["Dearest hour"] == "14:00-15:00"


@pytest.mark.parametrize(
    ("clock", "said", "change"),
    [("12:42", "$2.00 so far, 0.50x {weekday} last week by 12:00", "-50 %"), ("00:05", "$1.00 so far", "")],
    ids=["hours that are over are compared", "in the first hour nothing is"],
)
def test_the_running_hour_of_a_day_is_not_held_against_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: str, said: str, change: str
) -> None:
    """Calls of a dollar: one before the hour and one in it; a week earlier two before it and nine in it."""
    moment = datetime.combine(NOW - timedelta(days=2), time.fromisoformat(clock), UTC)
    hour = moment.replace(minute=0)
    week_before = hour - timedelta(days=7)
    starts = [hour - timedelta(minutes=30), hour + timedelta(minutes=2)]
    starts += [week_before + timedelta(minutes=minutes) for minutes in (-20, -10, *range(9))]
    rows = [call(number, 1, start, uncached=800_000, output=0) for number, start in enumerate(starts, 1)]
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(make_lake(tmp_path / "lake", rows))])
    monkeypatch.setattr("spanledger_dashboard.levels.hours.now", lambda: moment)
    page = explored(d=f"{moment.date()}")
    heading = page.subheader[0].value.replace("\\", "")
    assert heading == f"{day_name(moment.date())} has cost {said.format(weekday=f'{moment:%A}')}"
    assert {metric.label: metric.delta for metric in page.metric}["Cost"] == change


def test_a_figure_is_told_to_plotly_twice_and_drawn_once() -> None:
    """The second time with another theme, or data that may be others, it would be drawn again."""
    charts = [chart.proto for chart in explored(d=PEAK).get("plotly_chart")]
    layouts = [json.loads(chart.spec)["layout"] for chart in charts]
    assert [
        (chart.theme, "template" in layout, layout["datarevision"])
        for chart, layout in zip(charts, layouts, strict=True)
    ] == [("", False, 1)] * 2


def test_picking_a_filter_writes_it_into_the_url_and_clearing_takes_it_out() -> None:
    page = explored(d=PEAK)
    page.selectbox(key="filter-team").set_value("search").run()
    assert page.query_params == {"d": PEAK, "team": "search"}
    assert values(page)["Cost"] != values(explored(d=PEAK))["Cost"]
    page.selectbox(key="filter-team").set_value(None).run()
    assert page.query_params == {"d": PEAK}


def test_a_tag_of_the_address_filters_and_is_named_over_the_chart() -> None:
    page = explored(**{"d": PEAK, "tag.tenant": "nobody"})
    assert page.subheader[0].value.startswith("No calls on")
    assert values(explored(**{"d": PEAK, "tag.tenant": ""})) == values(explored(d=PEAK))


def test_a_filter_that_no_call_has_stays_visible_and_shows_nothing() -> None:
    page = explored(d=PEAK, team="gone")
    assert page.selectbox(key="filter-team").value == "gone"
    assert page.subheader[0].value.startswith("No calls on")


def test_a_crumb_leads_up_and_keeps_the_filters() -> None:
    page = explored(d=PEAK, h="14", u="u-017", team="growth")
    page.button(key="crumb-1").click().run()
    assert page.query_params == {"d": PEAK, "team": "growth"}
    assert values(page)["Dearest hour"] == "14:00-15:00"


def test_every_level_has_a_way_down_that_needs_no_pointer() -> None:
    page = explored()
    page.selectbox(key="way").select(PEAK).run()
    assert page.query_params == {"d": PEAK}
    page.selectbox(key="way").select("14").run()
    assert page.query_params == {"d": PEAK, "h": "14"}
    assert next(words for words in page.selectbox(key="way").options).startswith("u-017  ·  $")
    page.selectbox(key="way").select("u-017").run()
    assert page.query_params == {"d": PEAK, "h": "14", "u": "u-017"}
    dearest = page.dataframe[0].value["cost"][0]
    assert page.selectbox(key="way").options[0].startswith(f"{usd(dearest)}  ·  14:")
    page.selectbox(key="way").select_index(0).run()
    assert set(page.query_params) == {"d", "h", "u", "t"}
    assert not page.exception


def test_a_trace_is_found_whatever_day_the_link_names(lake: Path) -> None:
    trace = connect(lake).execute("select trace_id from llm_calls order by cost_usd desc limit 1").fetchall()[0][0]
    named = [explored(t=trace, **day) for day in ({}, {"d": "2020-01-01"}, {"d": PEAK})]
    assert len({page.subheader[0].value for page in named}) == 1
    assert explored(t="f" * 32).warning[0].value.startswith(f"No step of the request {'f' * 32} is in the lake")


def test_a_place_without_calls_leads_on_without_the_filters_and_to_its_neighbours() -> None:
    page = explored(d=PEAK, h="14", team="gone")
    assert [button.label for button in page.button][2:] == [
        "← 13:00-14:00",
        "15:00-16:00 →",
        "Without the filters",
        f"Back to {day_name(datetime.fromisoformat(PEAK))}",
    ]
    page.button[4].click().run()
    assert page.query_params == {"d": PEAK, "h": "14"}
    page.button(key="before").click().run()
    assert page.query_params == {"d": PEAK, "h": "13"}


def test_an_hour_is_held_against_the_same_one_a_week_before_and_its_day(lake: Path) -> None:
    page = explored(d=PEAK, h="14")
    cards = {metric.label: metric for metric in page.metric}

    def cost(where: str) -> Decimal:
        found = connect(lake).execute(f"select sum(cost_usd) from llm_calls where {where}").fetchall()[0][0]
        assert isinstance(found, Decimal)
        return found

    hour = cost(f"dt = '{PEAK}' and hour(start_time) = 14")
    week_before = f"{datetime.fromisoformat(PEAK).date() - timedelta(days=7)}"
    past = cost(f"dt = '{week_before}' and hour(start_time) = 14")
    day = cost(f"dt = '{PEAK}'")
    assert cards["Cost"].delta == change(hour, past)
    assert (cards["Share of the day"].value, cards["Cost"].value) == (f"{hour / day:.0%}".replace("%", " %"), usd(hour))


def test_requests_stand_dearest_first_in_a_table() -> None:
    page = explored(d=PEAK, h="14", u="u-017")
    table = page.dataframe[0].value
    assert len(table) == 24
    costs = list(table["cost"])
    assert costs == sorted(costs, reverse=True)
    assert set(table["request"]) == {"invoke_agent researcher"}


def test_a_picked_step_lists_what_was_recorded(lake: Path) -> None:
    trace, day, step = (
        connect(lake)
        .execute("select trace_id, dt, span_id from spans where tool_name = 'availability' order by 1 limit 1")
        .fetchall()[0]
    )
    page = explored(d=f"{day}", t=trace, s=step)
    assert not page.exception
    recorded = dict(zip(*(page.dataframe[0].value[name] for name in ("column", "value")), strict=True))
    assert (recorded["span_id"], recorded["tool_name"], recorded["role"]) == (step, "availability", "tool")


def test_a_request_says_what_its_dollars_were_for(lake: Path) -> None:
    trace, day = (
        connect(lake)
        .execute("select trace_id, dt from spans where name = 'invoke_agent hotel-search' order by 1 limit 1")
        .fetchall()[0]
    )
    page = explored(d=f"{day}", t=trace)
    assert not page.exception
    told = [markdown.value for markdown in page.markdown]
    assert "**Input\\, not told apart\\: 88 \\% of the dollars**" in told
    assert any(each.value.startswith("By token counts alone") for each in page.caption)


def test_why_a_request_costs_what_it_does_waits_until_its_waterfall_stands(lake: Path) -> None:
    trace, day = connect(lake).execute("select trace_id, dt from llm_calls order by 1 limit 1").fetchall()[0]
    page = explored(d=f"{day}", t=trace)
    assert "**Why it costs this**" in [markdown.value for markdown in page.markdown]
    del page.session_state["drawn-trace"]
    page.run()
    assert not page.exception
    assert "**Why it costs this**" not in [markdown.value for markdown in page.markdown]


def test_a_lake_that_has_nothing_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(tmp_path / "none")])
    page = AppTest.from_file(str(ENTRY), default_timeout=120).run()
    assert not page.exception
    assert page.subheader[0].value == "No spans yet"
    assert "spanledger demo" in [code.value for code in page.code]


def test_a_bad_link_leads_on() -> None:
    page = explored(d="tomorrow")
    assert page.warning[0].value.startswith("This link names the day")
    page.button[0].click().run()
    assert page.query_params == {}
    assert page.subheader[0].value.startswith("The last 30 days cost")


def test_the_server_is_told_to_listen_on_loopback_and_to_report_to_nobody(tmp_path: Path) -> None:
    arguments = command(tmp_path, 8501)
    assert {
        "--server.address=127.0.0.1",
        "--server.allowedHosts=127.0.0.1",
        "--server.enableXsrfProtection=true",
        "--server.enableCORS=true",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
        "--server.fileWatcherType=none",
    } <= set(arguments)
    assert arguments[-3:] == ["--", "--lake", str(tmp_path)]


def test_the_command_serves_the_lake_and_ends_when_told(lake: Path, tmp_path: Path) -> None:
    words = tmp_path / "stderr"
    argv = [sys.executable, "-m", "spanledger_cli", "dashboard", "--lake", str(lake), "--dashboard-port", "0"]
    with words.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output, cwd=tmp_path) as process:
        wait_until(
            lambda: "dashboard: http://127.0.0.1:" in words.read_text("utf-8"), timeout_s=120, what="the address"
        )
        address = words.read_text("utf-8").split()[1]
        wait_until(lambda: answers(f"{address}/_stcore/health"), timeout_s=120, what="a healthy dashboard")
        process.terminate()
        process.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_numbers_follow_the_lake_today_and_on_days_that_are_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    week_ago = NOW - timedelta(days=7)
    lake = make_lake(tmp_path / "lake", [call(1, 1, NOW, uncached=4_000_000, output=0)])
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    assert "cost \\$5\\.00" in explored().subheader[0].value
    make_lake(lake, [call(2, 1, NOW, uncached=8_000_000, output=0)], version=1)
    assert "cost \\$15\\.00" in explored().subheader[0].value
    late = [call(3, 1, week_ago, uncached=16_000_000, output=0)]
    make_lake(lake, late, version=2)
    assert "cost \\$35\\.00" in explored().subheader[0].value
