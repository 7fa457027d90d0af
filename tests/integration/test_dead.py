"""Dead letters: listed, shown, and sent again by `spanledger dead`, with and without a collector."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_bodies import CLAUDE_REQUEST, claude
from collector_process import collecting, span_ids
from deadly import fragile
from otlp_bodies import request, span
from spanledger_collector.dead import UNKNOWN_REASON, bury, dead_dir, letters
from spanledger_collector.delivery import open_delivery
from spanledger_collector.errors import DeliveryError
from spanledger_collector.replay import KILLS, UNREADABLE, replay
from spanledger_collector.wal import Signal

DAY_NS = 86_400 * 10**9
AHEAD = "dated more than a day ahead"
OLD = "dated more than 400 days ago"
KILLED = """
import os, sys
from spanledger_cli import main
from spanledger_collector import replay

replay._settle = lambda *_: os._exit(9)
main(sys.argv[1:])
"""


def body(*days: float) -> bytes:
    """Return one request with a span for each of the days from now."""
    now_ns = time.time_ns()
    return request(
        *(
            span(number=number, start_time_unix_nano=now_ns + int(day * DAY_NS), end_time_unix_nano=0)
            for number, day in enumerate(days, 1)
        )
    )


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "spanledger_cli", "dead", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with three letters: one whose day has come for two of three spans, one too old, and garbage."""
    home = tmp_path / "home"
    bury(dead_dir(home), "a", [(body(0, 3, 0), AHEAD)])
    bury(dead_dir(home), "b", [(body(-500), OLD), (b"garbage", "damaged at byte 7 of 1.wal")])
    return home


def test_letters_are_listed_with_what_is_in_them(home: Path) -> None:
    done = run("list", "--home", home, "--format", "csv")
    assert done.returncode == 0
    rows = [
        (row["name"], row["signal"], row["reason"], row["items"]) for row in csv.DictReader(io.StringIO(done.stdout))
    ]
    assert rows == [
        ("a-0000", "traces", AHEAD, "3"),
        ("b-0000", "traces", OLD, "1"),
        ("b-0001", "", "damaged at byte 7 of 1.wal", "0"),
    ]
    assert done.stderr.startswith("spanledger: 3 dead letters, 4 items, ")


def test_letters_are_chosen_by_name_and_reason(home: Path) -> None:
    done = run("list", "--home", home, "--format", "json", "--name", "b-*", "--reason", "Days AGO")
    assert [(row["name"], row["bytes"]) for row in json.loads(done.stdout)] == [("b-0000", len(body(-500)))]


def test_a_table_and_an_empty_folder(home: Path, tmp_path: Path) -> None:
    assert AHEAD in run("list", "--home", home).stdout
    empty = run("list", "--home", tmp_path / "nothing")
    assert (empty.returncode, "0 dead letters" in empty.stderr) == (0, True)


def test_a_letter_is_shown_as_json(home: Path) -> None:
    shown = json.loads(run("show", "a-0000", "--home", home, "--most", "2").stdout)
    spans = shown["body"]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert (shown["reason"], shown["items"], len(spans), spans[0]["spanId"]) == (AHEAD, 3, 2, "000000000000bb01")
    assert json.loads(run("show", "b-0001", "--home", home).stdout)["hex"] == b"garbage".hex()
    missing = run("show", "c", "--home", home)
    assert (missing.returncode, "has no letter c" in missing.stderr) == (1, True)


def test_what_can_be_converted_goes_through_a_running_collector_and_the_rest_stays(home: Path, tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        tried = run("replay", "--home", home, "--lake", collector.lake, "--dry-run")
        assert "2 items of 1 letters would be sent, 3 letters looked at" in tried.stderr
        assert len(list(letters(dead_dir(home)))) == 3
        done = run("replay", "--home", home, "--lake", collector.lake)
        assert done.returncode == 0, done.stderr
        collector.wait_for_commit()
        assert sorted(span_ids(collector.lake)) == ["000000000000bb01", "000000000000bb03"]
    assert "2 items of 1 letters sent" in done.stderr
    assert f"1 stay dead: {AHEAD}" in done.stderr
    assert f"1 stay dead: {UNREADABLE}" in done.stderr
    assert [(letter.name, letter.items, letter.reason) for letter in letters(dead_dir(home))] == [
        ("b-0000", 1, OLD),
        ("b-0001", 0, "damaged at byte 7 of 1.wal"),
        ("a-0000", 1, AHEAD),
    ]


def test_without_a_collector_they_go_into_the_log_and_the_lake(home: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    for _ in range(2):  # the second time there is nothing left to send
        assert run("replay", "--home", home, "--lake", lake).returncode == 0
    assert sorted(span_ids(lake)) == ["000000000000bb01", "000000000000bb03"]
    assert list((home / "wal").glob("*.wal*")) == []


def test_a_letter_is_taken_out_only_after_the_acknowledgement(home: Path, tmp_path: Path) -> None:
    class Full:
        most_bytes: int = 1000

        def send(self, body: bytes, signal: Signal) -> None:
            raise DeliveryError("no room")

    import contextlib

    with pytest.raises(DeliveryError):
        replay(home, letters(dead_dir(home)), lambda: contextlib.nullcontext(Full()))
    assert len(list(letters(dead_dir(home)))) == 3


def test_a_letter_that_kills_the_converter_stays_and_holds_up_no_other(home: Path, tmp_path: Path) -> None:
    bury(dead_dir(home), "x", [(body(0), "3 processes died of it")])
    for ending in ("pb", "json"):
        (dead_dir(home) / f"x-0000.{ending}").rename(dead_dir(home) / f"poison.{ending}")
    done = replay(home, letters(dead_dir(home)), None, judge=fragile)
    assert (done.letters, done.sent_items, done.dead_again[KILLS]) == (4, 2, 1)


def test_log_records_are_sent_as_log_records(home: Path, tmp_path: Path) -> None:
    bury(dead_dir(home), "logs", [(claude(CLAUDE_REQUEST).SerializeToString(), "a fault of before")])
    assert run("replay", "--home", home, "--lake", tmp_path / "lake", "--name", "logs*").returncode == 0
    assert (len(span_ids(tmp_path / "lake")), [letter.name for letter in letters(dead_dir(home), "logs*")]) == (1, [])


def test_words_that_are_missing_are_said_to_be(home: Path) -> None:
    (dead_dir(home) / "a-0000.json").unlink()
    assert next(letters(dead_dir(home))).reason == UNKNOWN_REASON


def test_two_replays_do_not_get_into_each_others_way(home: Path) -> None:
    def meanwhile() -> None:
        with pytest.raises(DeliveryError, match="another replay"):
            replay(home, letters(dead_dir(home)), None)

    replay(home, letters(dead_dir(home)), None, seen=meanwhile)


def test_a_collector_that_fills_another_lake_is_named(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with collecting(tmp_path), pytest.raises(DeliveryError, match="fills the lake"), open_delivery(home, other):
        pass


def test_dying_between_acknowledgement_and_removal_counts_nothing_twice(home: Path, tmp_path: Path) -> None:
    flags = ("replay", "--home", str(home), "--lake", str(tmp_path / "lake"))
    died = subprocess.run([sys.executable, "-c", KILLED, "dead", *flags], check=False, timeout=300)
    assert (died.returncode, len(list(letters(dead_dir(home))))) == (9, 3)
    assert run(*flags).returncode == 0
    assert sorted(span_ids(tmp_path / "lake")) == ["000000000000bb01", "000000000000bb03"]
    assert len(list(letters(dead_dir(home)))) == 3
