"""Files of revenue: what is read, what is refused, and that a file counts once however often it is imported."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from ledger_rows import make_lake
from spanledger.contract import NONE, Contract, FxRate
from spanledger_analytics.connection import connect
from spanledger_cli import cli
from spanledger_collector.errors import RevenueError
from spanledger_collector.revenue import also_in, read_revenue, take_revenue

EUR = Contract(
    fx=(FxRate("EUR", date(2026, 11, 1), Decimal("1.1")), FxRate("EUR", date(2026, 11, 5), Decimal("1.155555555555")))
)
INVOICES = """customer,month,amount
acme,2026-11,1200.50
beta,2026-02,0.000000000001
"""
NOW = datetime(2026, 12, 1, 8, 30, 0, 123456, tzinfo=UTC)


def said(lake: Path, columns: str = "source, line, customer_id, amount_usd") -> list[tuple[object, ...]]:
    with connect(lake) as connection:
        return connection.sql(f"select {columns} from revenue order by source, line").fetchall()


def test_csv_with_months_is_read() -> None:
    read = read_revenue(INVOICES, "a.csv", NONE)
    nobody = {"user_id": None, "team_id": None, "feature": None}
    november, february = (date(2026, 11, 1), date(2026, 11, 30)), (date(2026, 2, 1), date(2026, 2, 28))
    assert read.rows == tuple(
        {
            "line": line,
            "customer_id": name,
            **nobody,
            "first_day": first,
            "last_day": last,
            "amount": Decimal(amount),
            "currency": "USD",
            "amount_usd": Decimal(amount),
            "dt": first,
        }
        for line, name, (first, last), amount in (
            (2, "acme", november, "1200.50"),
            (3, "beta", february, "0.000000000001"),
        )
    )
    assert (read.usd, read.unused) == (Decimal("1200.500000000001"), ())


def test_json_lines_say_the_same_as_csv() -> None:
    lines = [
        {"customer_id": "acme", "month": "2026-11", "amount": 1200.5, "note": None},
        {"Customer": " beta ", "month": "2026-02", "amount": "0.000000000001", "currency": "usd"},
    ]
    read = read_revenue("\n\n".join(map(json.dumps, lines)), "a.jsonl", NONE)
    expected = read_revenue(INVOICES, "a.csv", NONE)
    assert [row | {"line": 0} for row in read.rows] == [row | {"line": 0} for row in expected.rows]
    assert [row["line"] for row in read.rows] == [1, 3]
    assert read.unused == ("note",)


def test_other_currencies_are_converted_by_the_rate_of_the_first_day_to_the_pico_dollar() -> None:
    text = "user,team,day,amount,currency\nann,search,2026-11-04,10,EUR\nann,search,2026-11-05,-3.3,eur\n"
    read = read_revenue(text, "a.csv", EUR)
    # 3.3 x 1.155555555555 = 3.8133333333315, half up
    assert [row["amount_usd"] for row in read.rows] == [Decimal(11), Decimal("-3.813333333332")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("acme,2026-11,", "line 2: has no amount"),
        ('acme,2026-11,"1,200"', "line 2: '1,200' is no amount; write it as 1200"),
        ("acme,2026-11,$5", "'$5' is no amount"),
        ("acme,2026-11,1e3", "'1e3' is no amount"),
        ("acme,2026-11,NaN", "'NaN' is no amount"),
        ("acme,2026-11,1000000000000", "below 1,000,000,000,000, at most 12 decimals"),
        ("acme,2026-11,0.0000000000001", "at most 12 decimals"),
        (",2026-11,5", "line 2: doesn't say whom it is from"),
        ("acme,,5", "needs either a day"),
        ("acme,2026-13,5", "'2026-13' is no month; write it as 2026-11"),
        ("acme,2026-11-03,5", "is no month"),
        ("acme,2026-11", "line 2: has fewer cells"),
        ("acme,2026-11,5,6", "line 2: has more cells"),
        ('acme,"2026-11', "is no CSV"),
    ],
)
def test_a_bad_line_is_named(line: str, fault: str) -> None:
    with pytest.raises(RevenueError) as refused:
        read_revenue(f"customer,month,amount\n{line}\nacme,2026-11,1\n", "a.csv", NONE)
    assert fault in str(refused.value)
    assert "a.csv was not imported, nothing of it" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it has no line of revenue"),
        ("customer,month,amount\n", "it has no line of revenue"),
        ('{"customer": "a"', "line 1: is no JSON"),
        ('{"customer": "a", "day": "2026-11-31", "amount": 5}', "'2026-11-31' is no day; write it as 2026-11-03"),
        ('{"customer": "a", "day": "2026-11-01", "amount": 5}\n[1]', "line 2: is no object"),
        ('{"customer": "a", "day": "2026-11-01", "month": "2026-11", "amount": 5}', "either a day"),
        ('{"customer": "a", "customer_id": "b", "day": "2026-11-01", "amount": 5}', "says two things for customer_id"),
        ('{"customer": "a", "day": "2026-11-01", "amount": 1e999999}', "is no amount"),
        ('{"customer": "a", "day": "2026-11-01", "amount": NaN}', "'NaN' is no amount"),
        ('{"customer": "a", "day": "2026-11-01", "amount": true}', "'True' is no amount"),
        ('{"customer": "a", "day": "2026-10-31", "amount": 5, "currency": "EUR"}', "no rate for 'EUR' on 2026-10-31"),
    ],
)
def test_a_file_that_cannot_be_taken_says_why(text: str, fault: str) -> None:
    with pytest.raises(RevenueError) as refused:
        read_revenue(text, "a", EUR)
    assert fault in str(refused.value)


def test_all_bad_lines_are_named_up_to_twenty() -> None:
    with pytest.raises(RevenueError) as refused:
        read_revenue("customer,month,amount\n" + "acme,2026-11,x\n" * 25, "a.csv", NONE)
    assert len(refused.value.faults) == 25
    assert len(str(refused.value).splitlines()) == 22
    assert str(refused.value).endswith("...")


def test_a_source_that_is_imported_again_replaces_what_it_said(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [])
    take_revenue(lake, read_revenue(INVOICES, "a.csv", NONE), NOW)
    take_revenue(lake, read_revenue("team,day,amount\nsearch,2026-11-02,7\n", "b.csv", NONE), NOW)
    first = said(lake)
    assert first == [
        ("a.csv", 2, "acme", Decimal("1200.5")),
        ("a.csv", 3, "beta", Decimal("0.000000000001")),
        ("b.csv", 2, None, Decimal(7)),
    ]
    take_revenue(lake, read_revenue(INVOICES, "a.csv", NONE), NOW + timedelta(hours=1))
    assert said(lake) == first
    # Put right: beta is gone, and with it the only line of its day.
    put_right = read_revenue("customer,month,amount\nacme,2026-11,1300\n", "a.csv", NONE)
    take_revenue(lake, put_right, NOW + timedelta(hours=2))
    assert said(lake) == [("a.csv", 2, "acme", Decimal(1300)), ("b.csv", 2, None, Decimal(7))]
    with connect(lake, as_of=NOW + timedelta(minutes=30)) as connection:
        then = connection.sql("select source, line, customer_id, amount_usd from revenue order by source, line")
        assert then.fetchall() == first


def test_equal_lines_of_a_file_are_two_payments(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [])
    take_revenue(lake, read_revenue("customer,day,amount\n" + "acme,2026-11-02,7\n" * 2, "a.csv", NONE), NOW)
    assert said(lake, "sum(amount_usd), count(*), min(source) as source, min(line) as line") == [
        (Decimal(14), 2, "a.csv", 2)
    ]


def test_the_command_takes_a_file_or_nothing_of_it(tmp_path: Path) -> None:
    file, lake = tmp_path / "invoices.csv", tmp_path / "lake"
    arguments = ["import", "revenue", str(file), "--lake", str(lake)]
    file.write_text(INVOICES + "gamma,2026-11,much\n", "utf-8")
    done = CliRunner().invoke(cli, arguments)
    assert isinstance(done.exception, RevenueError)
    assert "line 4: 'much' is no amount" in str(done.exception)
    assert not (lake / "revenue").exists()
    file.write_text(INVOICES, "utf-8-sig")
    for _ in range(2):
        done = CliRunner().invoke(cli, arguments)
        assert (done.exit_code, done.stdout) == (0, "")
        assert done.stderr == "spanledger: invoices.csv: 2 lines, 1,200.50 US dollars\n"
    assert said(lake) == [
        ("invoices.csv", 2, "acme", Decimal("1200.5")),
        ("invoices.csv", 3, "beta", Decimal("0.000000000001")),
    ]


def test_another_name_for_the_same_payments_is_told(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, [])
    take_revenue(lake, read_revenue(INVOICES, "a.csv", NONE), NOW)
    again = read_revenue("customer,day,amount\nacme,2026-11-30,5\nacme,2026-12-01,5\nbeta,2026-11-02,5\n", "b", NONE)
    assert also_in(lake, again) == {"a.csv": 1}
    done = CliRunner().invoke(cli, ["import", "revenue", "-", "--source", "c", "--lake", str(lake)], input=INVOICES)
    assert done.stderr.splitlines()[1:] == [
        "spanledger:   2 of them have days and payers that a.csv has too: both count; --source a.csv replaces it"
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["import", "revenue", "-"], "say with --source"),
        (["import", "revenue"], "Missing argument 'PATH'"),
        (["import"], "Missing argument 'PATHS...'"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], expected: str) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, expected in done.stderr) == (2, True)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"customer\n\xff\xfe")
    for name, expected in (("none.csv", "can't be read"), ("x.csv", "is no UTF-8")):
        done = CliRunner().invoke(cli, ["import", "revenue", str(tmp_path / name), "--lake", str(tmp_path / "lake")])
        assert expected in str(done.exception)
