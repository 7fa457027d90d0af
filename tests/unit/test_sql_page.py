"""What the SQL page is made of: its form in the address, laying out, and how answers are shown and written."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spanledger_analytics.connection import open_connection
from spanledger_analytics.plain_values import in_reach
from spanledger_analytics.saved_queries import examples
from spanledger_dashboard.sql.answers import as_csv, as_held, as_parquet, places_of, shown
from spanledger_dashboard.sql.sheet import Sheet, parse
from spanledger_dashboard.sql.tidy import FormatError, formatted
from spanledger_dashboard.state import BadLinkError

DUE = Decimal("13.656712345678")


@pytest.mark.parametrize(
    "sheet",
    [
        Sheet(),
        Sheet("select 1;\n-- 100 % & more"),
        Sheet("select 1", explained=True),
        Sheet("select 1", look="chart", chart={"kind": "bar", "x": "a", "y": "b"}),
    ],
)
def test_a_sheet_survives_the_address(sheet: Sheet) -> None:
    assert parse(sheet.parameters()) == sheet


def test_what_is_usual_is_left_out_of_the_address() -> None:
    assert Sheet().parameters() == {}
    assert Sheet("select 1").parameters() == {"q": "select 1"}


def test_a_look_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadLinkError, match="the look 'pie'; there are table, chart"):
        parse({"q": "select 1", "look": "pie"})


def test_another_question_keeps_the_look_and_a_colour_can_be_taken_away() -> None:
    chart = Sheet("select 1", look="chart", chart={"kind": "bar", "x": "a", "y": "b", "colour": "c"})
    assert chart.asking("select 2").chart == chart.chart
    assert chart.looked_at("chart", colour=None).chart == {"kind": "bar", "x": "a", "y": "b"}


def test_laying_out_moves_white_space_and_lowers_key_words() -> None:
    pytest.importorskip("sqlfmt")
    assert formatted("SELECT Feature, sum(cost_usd) AS Usd FROM llm_calls -- why\nWHERE dt>today()-7; select 2") == (
        "select Feature, sum(cost_usd) as Usd\nfrom llm_calls  -- why\nwhere dt > today() - 7;\nselect 2"
    )
    for example in examples():
        assert duckdb.tokenize(formatted(example.query))
        assert formatted(formatted(example.query)) == formatted(example.query)


def test_a_comment_at_the_end_keeps_the_semicolon_out() -> None:
    pytest.importorskip("sqlfmt")
    assert formatted("select 1 -- one\n;").splitlines()[-1] == ";"


@pytest.mark.parametrize("query", ["select e'a\\n'", "select $$a   b$$", "select {'a': {'b': 1}}", "select x'00'"])
def test_what_would_be_taken_apart_stays_as_it_is(query: str) -> None:
    with pytest.raises(FormatError, match="would take apart"):
        formatted(query)


def test_what_cannot_be_read_is_told() -> None:
    pytest.importorskip("sqlfmt")
    with pytest.raises(FormatError, match="It stays as it is: Could not parse"):
        formatted("select 'abc")


def answered(query: str) -> pa.Table:
    with open_connection() as connection:
        return connection.sql(query).to_arrow_table()


def test_an_answer_is_shown_with_its_types_and_the_rest_as_text() -> None:
    table = answered(
        "select 1 as a, 2 as a, 13.656712345678::decimal(38, 12) as usd, date '2026-11-03' as dt,"
        " timestamptz '2026-11-03 09:30:00+00' as at, true as yes, [1, 2] as list, map {'k': 1} as tags,"
        " interval 1 day as lasting, time '10:00' as clock, null as nothing, 18446744073709551615::ubigint as large"
    )
    assert shown(table, 10).to_dicts() == [
        {
            "a": 1,
            "a (2)": 2,
            "usd": DUE,
            "dt": date(2026, 11, 3),
            "at": datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
            "yes": True,
            "list": "[1, 2]",
            "tags": '{"k": 1}',
            "lasting": "0 months 1 days 0:00:00",
            "clock": "10:00:00",
            "nothing": None,
            "large": Decimal(18446744073709551615),
        }
    ]


def test_texts_that_turn_around_or_never_end_are_made_fit_to_be_seen() -> None:
    told = shown(pa.table({"name": ["plain", "a\u202eb\n", "x" * 3000, None]}), 10)["name"]
    assert told.to_list() == ["plain", "a\\u202eb\\u000a", "x" * 1999 + "…", None]


def test_only_the_first_columns_are_shown_those_of_one_name_numbered() -> None:
    wide = pa.Table.from_arrays([pa.array([1])] * 20_000, ["a"] * 20_000)
    assert shown(wide, 10).columns == ["a", *(f"a ({number})" for number in range(2, 501))]


def test_only_the_first_rows_are_shown() -> None:
    assert shown(answered("select * from range(100) as t(n)"), 3)["n"].to_list() == [0, 1, 2]


def test_numbers_are_numbers_while_a_browser_holds_their_digits() -> None:
    money = pl.Series("usd", [DUE, None, Decimal("0.5")], pl.Decimal(38, 12))
    assert (places_of(money), as_held(money).dtype) == (12, money.dtype)
    large = pl.Series("usd", [Decimal("123456.123456789012"), None], pl.Decimal(38, 12))
    assert as_held(large).to_list() == ["123456.123456789012", None]
    assert as_held(pl.Series("n", [2**53 + 1])).to_list() == [f"{2**53 + 1}"]
    assert places_of(pl.Series("n", [1, 2])) == 0
    assert as_held(pl.Series("f", [0.1])).dtype == pl.Float64


def test_files_have_every_digit_and_character() -> None:
    table = answered(
        "select 13.656712345678::decimal(38, 12) as usd, 'a,\"b' as name, null as nothing,"
        " timestamptz '2026-11-03 09:30:00+00' as at, interval 1 day as lasting"
    )
    assert as_csv(table).decode() == (
        'usd,name,nothing,at,lasting\n13.656712345678,"a,""b",,2026-11-03T09:30:00Z,0 months 1 days 0:00:00\n'
    )
    back = pq.read_table(io.BytesIO(as_parquet(table)))
    assert back.to_pylist() == [
        {
            "usd": DUE,
            "name": 'a,"b',
            "nothing": None,
            "at": datetime(2026, 11, 3, 9, 30, tzinfo=UTC),
            "lasting": "0 months 1 days 0:00:00",
        }
    ]


def test_what_parquet_has_no_type_for_is_written_as_text() -> None:
    table = answered("select [interval 1 day] as days, [union_value(x := 1)] as one, map {'k': [1]} as tags")
    assert pq.read_table(io.BytesIO(as_parquet(table))).to_pylist() == [
        {"days": '["0 months 1 days 0:00:00"]', "one": "[1]", "tags": [("k", [1])]}
    ]


def test_days_that_never_come_and_names_that_are_taken_are_answers_too() -> None:
    table = answered(
        "select 'infinity'::date as a, timestamptz '-infinity' as b, date '9999-12-31' + interval 5 year as c,"
        " date '2026-11-03' as d union all select date '2026-11-03', null, null, null order by d nulls last"
    )
    lines = ["a,b,c,d", "infinity,-infinity,10004-12-31 00:00:00.000000,2026-11-03", "2026-11-03,,,"]
    assert as_csv(table).decode().splitlines() == lines
    assert list(csv.reader(lines))[1:] == [
        ["" if value is None else str(value) for value in row] for row in shown(in_reach(table), 10).iter_rows()
    ]
    assert shown(answered('select 1 as a, 2 as a, 3 as "a (2)", 4 as a'), 1).columns == ["a", "a (3)", "a (2)", "a (4)"]
