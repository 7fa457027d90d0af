"""DuckDB's errors for people: the place marked, and the name that was meant."""

from __future__ import annotations

import duckdb
import pytest

from spanledger_analytics.sql_errors import explained
from spanledger_analytics.statements import run

VIEWS = ("spans", "llm_calls", "outcomes")
COLUMNS = ("user_id", "cost_usd")


def said(query: str) -> str:
    connection = duckdb.connect()
    connection.execute("set errors_as_json = true")
    connection.execute("create view llm_calls as select 'u' as user_id, 1.5 as cost_usd")
    with pytest.raises(duckdb.Error) as caught:
        _answer(connection, query)
    return explained(str(caught.value), query, VIEWS, COLUMNS)


def _answer(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    relation = run(connection, query)
    assert relation is not None
    relation.fetchall()


def test_a_column_is_marked_and_the_nearest_are_proposed() -> None:
    assert said("select user_idd from llm_calls") == (
        'Binder Error: Referenced column "user_idd" not found in FROM clause!\n'
        "Did you mean user_id or cost_usd?\n\n"
        "LINE 1: select user_idd from llm_calls\n"
        "               ^^^^^^^^"
    )


def test_the_place_is_right_in_a_later_statement_and_behind_wide_letters_and_tabs() -> None:
    assert said("select 1;\nselect 'é漢字',\tcostusd\nfrom llm_calls").splitlines()[-2:] == [
        "LINE 2: select 'é漢字', costusd",
        "                        ^^^^^^^",
    ]


def test_of_tables_ours_are_proposed_and_not_those_of_the_catalogue() -> None:
    assert said("from cals") == (
        "Catalog Error: Table with name cals does not exist!\n"
        "Did you mean llm_calls?\n\n"
        "LINE 1: from cals\n"
        "             ^^^^"
    )


@pytest.mark.parametrize("type_", ["UHUGEINT", "BIGNUM", "BIT"])
def test_a_number_that_would_come_out_as_another_is_refused(type_: str) -> None:
    told = f"n can't be given out as {type_}; cast it to varchar"
    assert [said(f"select '1'::{type_} as n"), said(f"select ['1'::{type_}] as n")] == [told] * 2


def test_an_error_without_a_kind_is_told_in_words_too() -> None:
    error = '{"exception_type":"Extension Autoloading","exception_message":"httpfs is not there"}'
    assert explained(error, "attach 'http://localhost/a.db'", VIEWS) == "Extension Autoloading: httpfs is not there"


def test_a_function_is_proposed() -> None:
    assert said("select summ(cost_usd) from llm_calls").splitlines()[:2] == [
        "Catalog Error: Scalar Function with name summ does not exist!",
        'Did you mean "sum"?',
    ]


def test_of_a_long_line_the_surroundings_are_shown() -> None:
    query = f"select {'1 + ' * 60}user_idd{' + 1' * 60} from llm_calls"
    line, marks = said(query).splitlines()[-2:]
    assert line == f"LINE 1: …{' + 1' * 14} + user_idd{' + 1' * 7} + …"
    assert line.index("user_idd") == marks.index("^")


def test_an_error_while_it_runs_is_a_sentence() -> None:
    assert said("select 'x'::int") == "Conversion Error: Could not convert string 'x' to INT32"


def test_what_is_quoted_cannot_steer_the_terminal() -> None:
    assert "\\x1b[2J" in said("select chr(27) || '[2J' || user_idd, '\x1b[2J' from llm_calls")
    assert explained("IO Error: \x1b[2J", "", VIEWS) == "IO Error: \\x1b[2J"


def test_every_statement_is_run_and_the_last_one_answers() -> None:
    connection = duckdb.connect()
    relation = run(
        connection, "create table t as select 1 as a; select * from range(20000); insert into t values (2); from t"
    )
    assert relation is not None
    assert relation.fetchall() == [(1,), (2,)]
    assert run(connection, "-- nothing") is None
