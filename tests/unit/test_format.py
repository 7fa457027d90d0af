"""How money, counts and times are written, and what is left of foreign text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from spanledger_dashboard import format as written


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "no price"),
        ("0", "$0"),
        ("0.00000002", "<$0.0001"),
        ("0.0001", "$0.0001"),
        ("0.00435", "$0.0044"),
        ("0.1475", "$0.148"),
        ("12.3", "$12.30"),
        ("1234.5", "$1,234.50"),
        ("12345", "$12.3k"),
        ("1234567", "$1.23M"),
        ("-12.3", "-$12.30"),
    ],
)
def test_money_has_as_many_digits_as_its_size_needs(amount: str | None, shown: str) -> None:
    assert written.usd(None if amount is None else Decimal(amount)) == shown


def test_an_exact_amount_keeps_every_digit_that_was_booked() -> None:
    assert written.usd_exact(Decimal("0.147500000000")) == "$0.1475"
    assert written.usd_exact(Decimal("0.000000020001")) == "$0.000000020001"
    assert written.usd_exact(Decimal("1000.000000000000")) == "$1000"
    assert written.usd_exact(None) == "no price"


@pytest.mark.parametrize(
    ("amount", "places", "shown"),
    [
        ("0.068", 4, "$0.0680"),
        ("0.00005", 4, "$0.0001"),
        ("0.00004", 4, "<$0.0001"),
        ("-0.00004", 4, "-<$0.0001"),
        ("0.004", 2, "<$0.01"),
        ("0.4", 0, "<$1"),
        ("0", 4, "$0"),
    ],
)
def test_places_can_be_fixed_and_something_is_never_nothing(amount: str, places: int, shown: str) -> None:
    assert written.usd(Decimal(amount), places) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (0.4, "0.4"), (733, "733"), (9876, "9,876"), (12_149, "12.1k"), (999_960, "1.0M"), (303.6e6, "303.6M")],
)
def test_counts_are_short(number: float, shown: str) -> None:
    assert written.count(number) == shown


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [(733_000, "733 ms"), (6_600_000, "6.6 s"), (124_000_000, "2 m 04 s"), (3_900_000_000, "1 h 05 m")],
)
def test_durations_carry_their_unit(microseconds: int, shown: str) -> None:
    assert written.duration(microseconds) == shown


def test_a_moment_is_as_old_as_its_largest_unit() -> None:
    now = datetime(2026, 11, 3, 12, tzinfo=UTC)
    ages = (3, 140, 7300, 4 * 86400)
    assert [written.ago(now - timedelta(seconds=age), now) for age in ages] == [
        "3 s ago",
        "2 min ago",
        "2 h ago",
        "4 days ago",
    ]


def test_shares_factors_and_changes() -> None:
    assert [written.share(part, 100) for part in (61.2, 0.2, 0, None)] == ["61 %", "<1 %", "0 %", "unknown"]
    assert [written.share_used(part, 100) for part in (0.2, 99.4, 99.73, 99.99, 100, 100.4)] == [
        "<1 %",
        "99 %",
        "99.7 %",
        "99.9 %",
        "100 %",
        "100 %",
    ]
    assert [written.share(Decimal(0), whole) for whole in (Decimal(0), None)] == ["0 %", "unknown"]
    assert [written.cost_and_share(cost, Decimal(4)) for cost in (Decimal(3), None)] == ["$3.00  ·  75 %", "no price"]
    assert [written.times(factor) for factor in (2.169, 3.84, 12.4)] == ["2.17x", "3.8x", "12x"]
    assert written.change(Decimal("1.05"), Decimal(1)) == "+5.0 %"
    assert written.change(Decimal(30), Decimal(10)) == "+200 %"
    assert written.change(Decimal(1), Decimal(0)) is None
    assert written.change(None, Decimal(1)) is None
    assert written.change(Decimal(464), Decimal("0.01")) == "from almost nothing"


def test_days_and_hours_have_names() -> None:
    assert written.day_name(date(2026, 11, 3)) == "Tue 3 Nov"
    assert written.hour_name(23) == "23:00-00:00"


def test_foreign_text_shows_what_would_be_invisible_and_is_cut() -> None:
    assert written.visible("a\u202eb\nc\x00") == r"a\u202eb\u000ac\u0000"
    assert written.visible("👩\u200d💻 שלום") == "👩\u200d💻 שלום"
    assert written.visible("n" * 100, 10) == "nnnnnnnnn…"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("**b** _i_ $x$", r"\*\*b\*\* \_i\_ \$x\$"),
        ("[a](b) :red[c]", r"\[a\]\(b\) \:red\[c\]"),
        ("<b>", r"\<b\>"),
        ("ask alice@example.com now", "ask `alice@example.com` now"),
        (":smile:", "`:smile:`"),
        ("http://x/`y`", "`` http://x/`y` ``"),
    ],
)
def test_markdown_loses_its_meaning(text: str, escaped: str) -> None:
    assert written.markdown(text) == escaped


def test_plotlys_tags_lose_their_meaning() -> None:
    assert written.figure_text("<b>&amp;") == "&lt;b&gt;&amp;amp;"


def test_a_button_is_one_and_has_no_icon_whatever_its_name() -> None:
    names = ["chat", "[a, b]", ' ["a"]', ":material/home: x"]
    assert [written.button_text(name) for name in names] == ["chat", *(f"\u2060{name}" for name in names[1:])]
