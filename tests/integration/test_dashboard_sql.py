"""The SQL page, run by Streamlit without a browser."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ledger_rows import make_lake, traffic
from spanledger_analytics.connection import connect
from spanledger_analytics.saved_queries import SavedQuery, examples, save, saved

QUERY = "select team_id, sum(cost_usd) as usd from llm_calls group by all order by usd desc"
ENDLESS = "select count(*) from range(100000000) a, range(100000000) b"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("sql-page") / "lake", traffic(datetime.now(UTC), days=2))


@pytest.fixture(autouse=True)
def home(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    # Streamlit leaves the page there, and processes that are spawned later would run it again.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path


def sql() -> None:
    from spanledger_dashboard.pages import sql

    sql.page()


def asked(**parameters: str) -> AppTest:
    page = AppTest.from_function(sql, default_timeout=120)
    page.query_params.update(parameters)
    return ended(page.run())


def ended(page: AppTest) -> AppTest:
    """Wait until the question on the page is answered, and draw it."""
    if "sql-asking" in page.session_state:
        assert page.session_state["sql-asking"].wait(120)
        page.run()
    assert not page.exception
    return page


def plain(markdown: str) -> str:
    return markdown.replace("\\", "")


def headings(page: AppTest) -> list[str]:
    return [plain(heading.value) for heading in page.subheader]


def test_a_page_without_a_question_asks_nothing_and_offers_one() -> None:
    page = asked()
    assert headings(page) == ["Ask anything, in SQL"]
    assert page.text_area[0].value == examples()[0].query
    assert "sql-asking" not in page.session_state


def test_a_question_that_comes_by_the_address_is_answered(lake: Path) -> None:
    page = asked(q=QUERY)
    assert page.text_area[0].value == QUERY
    rows = connect(lake).execute(QUERY).fetchall()
    assert headings(page)[1] == f"{len(rows)} rows"
    (table,) = (frame.value for frame in page.dataframe if "usd" in frame.value.columns)
    assert table["usd"].to_list() == [usd for _, usd in rows]


def test_running_what_was_typed_writes_the_address_and_one_value_stands_in_the_heading(lake: Path) -> None:
    page = asked(q=QUERY)
    page.text_area[0].set_value("select count(*) as calls from llm_calls  ")
    ended(page.button(key="sql-run").click().run())
    (calls,) = connect(lake).execute("select count(*) from llm_calls").fetchall()[0]
    assert page.query_params == {"q": "select count(*) as calls from llm_calls"}
    assert headings(page)[1] == f"calls: {calls}"
    past = [plain(button.label) for button in page.button if button.key and button.key.startswith("sql-past")]
    assert past == ["select count(*) as calls from llm_calls", QUERY]


def test_an_error_has_its_place_marked_and_what_was_probably_meant() -> None:
    page = asked(q="select teem_id\nfrom llm_calls")
    assert headings(page)[1].startswith("Binder Error: Referenced column")
    assert "LINE 1: select teem_id\n               ^^^^^^^" in [code.value for code in page.code]
    assert any(plain(text.value).startswith("Did you mean team_id") for text in page.markdown)


def test_how_it_would_be_run_is_shown_as_it_is_drawn() -> None:
    page = asked(q=QUERY, explain="1")
    assert headings(page)[1] == "How it would be run"
    assert any("Hash Group By" in code.value for code in page.code)


def test_a_question_on_its_way_can_be_stopped() -> None:
    page = AppTest.from_function(sql, default_timeout=120)
    page.query_params.update({"q": ENDLESS})
    page.run()
    assert headings(page)[1] in ("Waiting for a place", "Asking the lake")
    ended(page.button(key="sql-stop").click().run())
    assert headings(page)[1] == "Not answered"
    assert page.warning[0].value.startswith("Stopped after ")


def test_a_chart_suggests_itself_and_another_choice_goes_into_the_address() -> None:
    page = asked(q=QUERY, look="chart")
    assert [box.value for box in page.selectbox if box.label in ("Kind", "X", "Y", "Colour")] == [
        "bar",
        "team_id",
        "usd",
        None,
    ]
    page.selectbox(key="sql-kind").set_value("points")
    ended(page.run())
    assert page.query_params == {"q": QUERY, "look": "chart", "kind": "points", "x": "team_id", "y": "usd"}
    assert len(page.get("plotly_chart")) == 1


def test_a_chart_of_other_columns_gives_way_with_a_sentence() -> None:
    page = asked(q=QUERY, look="chart", kind="bar", x="gone", y="usd")
    assert any("this one suggests itself" in caption.value for caption in page.caption)
    assert len(page.get("plotly_chart")) == 1


def test_a_query_is_kept_opened_and_taken_away(home: Path) -> None:
    page = asked(q=QUERY)
    page.text_input(key="sql-save-name").set_value("By team")
    next(button for button in page.button if button.label == "Save").click().run()
    assert saved(home) == [SavedQuery("By team", QUERY)]

    other = asked(q="select 1 as one")
    ended(other.button(key="sql-open-By team").click().run())
    assert other.query_params == {"q": QUERY}
    other.button(key="sql-remove-By team").click().run()
    assert saved(home) == []


def test_a_name_that_cannot_be_is_told(home: Path) -> None:
    page = asked(q=QUERY)
    page.text_input(key="sql-save-name").set_value("../../x")
    next(button for button in page.button if button.label == "Save").click().run()
    assert plain(page.info[0].value).startswith("no query can be called '../../x'")
    assert saved(home) == []


def test_views_are_listed_with_their_sentences_and_columns_are_found() -> None:
    page = asked()
    page.selectbox(key="sql-view").set_value("traces")
    page.run()
    shown = next(frame.value for frame in page.dataframe if "comment" in frame.value.columns)
    assert shown["column"].to_list()[:2] == ["trace_id", "dt"]
    page.text_input(key="sql-find").set_value("cache read").run()
    found = next(frame.value for frame in page.dataframe if "comment" in frame.value.columns)
    assert "cost_cache_read" in found["column"].to_list()


def test_characters_that_hide_what_is_run_are_pointed_at() -> None:
    page = asked(q="select 'a\u202eb' as name")
    assert page.warning[0].value.startswith("Characters in this query hide others")
    assert r"select 'a\u202eb' as name" in [code.value for code in page.code]


def test_a_bad_link_gets_a_sentence_and_a_way_on(home: Path) -> None:
    page = asked(q=QUERY, look="pie")
    assert "the look 'pie'" in plain(page.warning[0].value)
    page.button[0].click().run()
    assert headings(page) == ["Ask anything, in SQL"]
    save(home, "z", "select 1")
