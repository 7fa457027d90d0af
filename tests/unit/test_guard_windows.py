"""Windows of budgets: where they begin and end, by the clocks of people who change them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings, strategies as st

from spanledger.guard.windows import Per, Window, window

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Havana", "Africa/Cairo", "Asia/Beirut", "Pacific/Chatham", "Pacific/Apia", "America/St_Johns"),
    *("Africa/Casablanca", "Antarctica/Troll", "Pacific/Kiritimati"),
)
TILED: tuple[Per, ...] = ("hour", "day", "week", "month")
BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def told(found: Window) -> tuple[str, str, str]:
    """Return a window's name, and when it begins and ends in UTC."""
    begin, end = (datetime.fromtimestamp(at_ms // 1000, UTC) for at_ms in found[1:])
    return found.name, f"{begin:%Y-%m-%d %H:%M}", f"{end:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("per", "at", "zone", "expected"),
    [
        ("hour", "2026-11-22T05:59:59Z", "UTC", ("2026-11-22T05+0000", "2026-11-22 05:00", "2026-11-22 06:00")),
        ("day", "2026-11-22T23:59:59Z", "UTC", ("2026-11-22", "2026-11-22 00:00", "2026-11-23 00:00")),
        ("week", "2026-11-22T12:00:00Z", "UTC", ("2026-W47", "2026-11-16 00:00", "2026-11-23 00:00")),
        ("month", "2026-12-31T23:59:59Z", "UTC", ("2026-12", "2026-12-01 00:00", "2027-01-01 00:00")),
        ("month", "2028-02-29T12:00:00Z", "UTC", ("2028-02", "2028-02-01 00:00", "2028-03-01 00:00")),
        # a day of 23 hours, and one of 25
        ("day", "2026-03-29T12:00:00+02:00", "Europe/Berlin", ("2026-03-29", "2026-03-28 23:00", "2026-03-29 22:00")),
        ("day", "2026-10-25T12:00:00+01:00", "Europe/Berlin", ("2026-10-25", "2026-10-24 22:00", "2026-10-25 23:00")),
        ("month", "2026-03-31T12:00:00+02:00", "Europe/Berlin", ("2026-03", "2026-02-28 23:00", "2026-03-31 22:00")),
        # 02:00 to 03:00 comes twice: each is a window of its own
        (
            *("hour", "2026-10-25T02:30:00+02:00", "Europe/Berlin"),
            ("2026-10-25T02+0200", "2026-10-25 00:00", "2026-10-25 01:00"),
        ),
        (
            *("hour", "2026-10-25T02:30:00+01:00", "Europe/Berlin"),
            ("2026-10-25T02+0100", "2026-10-25 01:00", "2026-10-25 02:00"),
        ),
        # and from 02:00 to 03:00 there is nothing
        (
            *("hour", "2026-03-29T01:59:59+01:00", "Europe/Berlin"),
            ("2026-03-29T01+0100", "2026-03-29 00:00", "2026-03-29 01:00"),
        ),
        (
            *("hour", "2026-03-29T03:00:00+02:00", "Europe/Berlin"),
            ("2026-03-29T03+0200", "2026-03-29 01:00", "2026-03-29 02:00"),
        ),
        # half an hour off
        (
            *("hour", "2026-11-22T00:10:00+05:30", "Asia/Kolkata"),
            ("2026-11-22T00+0530", "2026-11-21 18:30", "2026-11-21 19:30"),
        ),
        ("day", "2026-11-22T00:00:00+05:30", "Asia/Kolkata", ("2026-11-22", "2026-11-21 18:30", "2026-11-22 18:30")),
        # a clock that goes back from 02:00 to 01:30: half an hour more of the hour from 01:00 on
        (
            *("hour", "2026-04-05T01:45:00+11:00", "Australia/Lord_Howe"),
            ("2026-04-05T01+1100", "2026-04-04 14:00", "2026-04-04 15:00"),
        ),
        (
            *("hour", "2026-04-05T01:45:00+10:30", "Australia/Lord_Howe"),
            ("2026-04-05T01+1030", "2026-04-04 15:00", "2026-04-04 15:30"),
        ),
        # a day that begins at 01:00, because there is no midnight
        ("day", "2026-03-08T12:00:00-04:00", "America/Havana", ("2026-03-08", "2026-03-08 05:00", "2026-03-09 04:00")),
        # the ISO year of a week is that of its Thursday
        ("week", "2026-12-31T12:00:00Z", "UTC", ("2026-W53", "2026-12-28 00:00", "2027-01-04 00:00")),
        ("week", "2027-01-03T23:59:59Z", "UTC", ("2026-W53", "2026-12-28 00:00", "2027-01-04 00:00")),
        ("week", "2027-01-04T00:00:00Z", "UTC", ("2027-W01", "2027-01-04 00:00", "2027-01-11 00:00")),
        ("week", "2024-12-30T00:00:00Z", "UTC", ("2025-W01", "2024-12-30 00:00", "2025-01-06 00:00")),
    ],
)
def test_a_moment_is_in_the_window_of_its_zone(per: Per, at: str, zone: str, expected: tuple[str, str, str]) -> None:
    assert told(window(per, ms(at), ZoneInfo(zone))) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-02-27T23:59:59Z", ("month from 2026-01-28", "2026-01-28 00:00", "2026-02-28 00:00")),
        ("2026-02-28T00:00:00Z", ("month from 2026-02-28", "2026-02-28 00:00", "2026-03-28 00:00")),
        ("2027-01-01T00:00:00Z", ("month from 2026-12-28", "2026-12-28 00:00", "2027-01-28 00:00")),
    ],
)
def test_a_month_begins_on_the_billing_day(at: str, expected: tuple[str, str, str]) -> None:
    assert told(window("month", ms(at), ZoneInfo("UTC"), 28)) == expected


def test_a_total_and_a_session_have_no_end_that_a_call_could_come_to() -> None:
    total, session = window("total", ms("2026-11-22T05:00:00Z"), BERLIN), window("session", 0, BERLIN)
    assert total == window("total", 0, BERLIN)
    assert total.holds(ms("2199-01-01T00:00:00Z"))
    assert (session.name, session.holds(30 * 86_400_000), session.holds(31 * 86_400_000)) == ("session", True, False)


@settings(max_examples=300, deadline=None)
@given(
    per=st.sampled_from(TILED),
    zone=st.sampled_from(ZONES),
    at_ms=st.integers(ms("2020-01-01T00:00:00Z"), ms("2045-01-01T00:00:00Z")),
    billing_day=st.integers(1, 28),
)
@example(per="hour", zone="Europe/Berlin", at_ms=ms("2026-10-25T00:30:00Z"), billing_day=1)
@example(per="hour", zone="Australia/Lord_Howe", at_ms=ms("2026-04-04T14:30:00Z"), billing_day=1)
@example(per="hour", zone="Australia/Lord_Howe", at_ms=ms("2026-10-03T15:10:00Z"), billing_day=1)
@example(per="day", zone="Africa/Cairo", at_ms=ms("2026-10-29T20:30:00Z"), billing_day=1)
@example(per="hour", zone="Antarctica/Troll", at_ms=ms("2026-10-25T00:30:00Z"), billing_day=1)
def test_windows_follow_each_other_without_gap_or_overlap(per: Per, zone: str, at_ms: int, billing_day: int) -> None:
    found, begins, names = window(per, at_ms, ZoneInfo(zone), billing_day), [], set()
    assert found.holds(at_ms)
    for _ in range(30):
        assert [window(per, at, ZoneInfo(zone), billing_day) for at in (found.from_ms, found.until_ms - 1)] == [
            found
        ] * 2
        begins.append(found.from_ms)
        names.add(found.name)
        after = window(per, found.until_ms, ZoneInfo(zone), billing_day)
        assert after.from_ms == found.until_ms
        found = after
    assert (sorted(set(begins)), len(names)) == (begins, 30)


@settings(max_examples=200, deadline=None)
@given(per=st.sampled_from(TILED), at_ms=st.integers(ms("2026-01-01T00:00:00Z"), ms("2027-01-01T00:00:00Z")))
def test_a_clock_that_jumps_comes_back_to_the_same_window(per: Per, at_ms: int) -> None:
    before = window(per, at_ms, BERLIN)
    for jump_ms in (-3 * 86_400_000, 40 * 86_400_000):
        assert window(per, at_ms + jump_ms, BERLIN).holds(at_ms + jump_ms)
        assert window(per, at_ms, BERLIN) == before
