"""`spanledger prices`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from own_base import write_half_turbo
from spanledger.book import use_book
from spanledger_cli import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["prices", *arguments])


def test_the_prices_of_a_day_are_listed() -> None:
    result = run("list", "--provider", "gcp.gemini", "--model", "gemini-1.5-flash-8b", "--at", "2024-11-08")

    assert result.stdout == (
        "google/gemini-1.5-flash-8b  input <=128000  input_uncached_tokens=0.0375 output_text_tokens=0.15\n"
        "google/gemini-1.5-flash-8b  input >128000  input_uncached_tokens=0.075 output_text_tokens=0.3\n"
    )


def test_a_list_is_csv_or_json_with_the_source_of_each_price() -> None:
    arguments = ("list", "--provider", "openai", "--model", "whisper-1", "--format")

    (row,) = json.loads(run(*arguments, "json").stdout)

    assert list(csv.DictReader(io.StringIO(run(*arguments, "csv").stdout))) == [row]
    assert row["price_id"] == "overlay:openai/whisper-1"
    assert row["source"].startswith("https://")
    assert "audio_seconds=$0.0001" in row["prices"]


def test_every_provider_can_be_listed() -> None:
    assert len(run("list").stdout.splitlines()) > 2_000


def test_a_model_is_explained_with_the_window_that_holds() -> None:
    result = run("explain", "deepseek", "deepseek-v4-pro", "--at", "2026-11-20T08:00:00Z")

    holding = [window for window in json.loads(result.stdout)["windows"] if window["holds"]]
    assert [holding[0][key] for key in ("price_id", "days", "hours")] == [
        "overlay:deepseek/deepseek-v4-pro@2026-08-22T16:00:00Z~mon-fri~06:00:00",
        "mon,tue,wed,thu,fri",
        "06:00-10:00",
    ]
    assert holding[0]["prices"] == {
        "input_uncached_tokens": "1.32",
        "cache_read_tokens": "0.044",
        "output_text_tokens": "3.96",
    }


def test_a_factor_is_explained_with_its_source() -> None:
    result = run("explain", "openai", "gpt-4-turbo", "--at", "2024-05-01", "--processing", "batch")

    holding = [window for window in json.loads(result.stdout)["windows"] if window["holds"]]
    assert holding[0]["price_id"] == "base:openai/gpt-4-turbo*batch"
    assert holding[0]["multipliers"][0]["factor"] == "0.5"


def test_an_unknown_model_says_why_and_an_unknown_provider_is_refused() -> None:
    unknown = run("explain", "openai", "nothing-like-it")

    assert (unknown.exit_code, json.loads(unknown.stdout)["unpriced_reason"]) == (3, "unknown_model")
    assert run("list", "--provider", "nobody").exit_code == 2


def _file(path: Path, rate: int, *more: str) -> str:
    entry = {"model": "a", "match": "a", "tables": [[{"prices": {"input_tokens": rate}}]]}
    header = '{"library":"somewhere 1.0","format":1}'
    path.write_text("\n".join([header, '{"provider":"acme"}', json.dumps(entry), *more]), "utf-8")
    return str(path)


def test_two_files_of_the_book_are_compared(tmp_path: Path) -> None:
    free = json.dumps({"model": "b", "match": "b", "tables": [[{"prices": {}, "free": True}]]})

    result = run("diff", _file(tmp_path / "old", 10**12), _file(tmp_path / "new", 2 * 10**12, free))

    assert result.stdout.splitlines() == [
        "provider  model  meter                  old  new",
        "acme      a      input_uncached_tokens  1    2",
        "acme      b      input_uncached_tokens       free",
        "acme      b      output_text_tokens          free",
    ]


def test_a_price_that_begins_on_a_day_differs_from_then_on_only(tmp_path: Path) -> None:
    """The tier and the batch are rows of their own; an end and a start at one moment are no difference."""
    rows = [
        {"to": "2026-11-25T00:00:00Z", "prices": {"input_tokens": 10**12}},
        {"from": "2026-11-25T00:00:00Z", "up_to": 1000, "prices": {"input_tokens": 10**12}},
        {"from": "2026-11-25T00:00:00Z", "above": 1000, "prices": {"input_tokens": 2 * 10**12}},
    ]
    batch = [{"prices": {"input_tokens": 5 * 10**11}}]
    dated = {"model": "a", "match": "a", "contexts": {"processing=batch": 1}, "tables": [rows, batch]}
    new = tmp_path / "new"
    new.write_text('{"library":"x 1.0","format":1}\n{"provider":"acme"}\n' + json.dumps(dated), "utf-8")

    result = run("diff", _file(tmp_path / "old", 10**12), str(new), "--format", "json")

    shown = [
        [row[name] for name in ("context", "from", "to", "when", "old", "new")] for row in json.loads(result.stdout)
    ]
    start = "2026-11-25T00:00:00Z"
    assert shown == [
        ["", start, "", "", "1", ""],
        ["", start, "", "input <=1000", "", "1"],
        ["", start, "", "input >1000", "", "2"],
        ["processing=batch", "", "", "", "", "0.5"],
    ]


def test_two_days_are_compared_by_what_is_charged_on_each() -> None:
    result = run("diff", "--from", "2024-06-01", "--to", "2024-12-01", "--provider", "openai", "--model", "gpt-4o")

    assert result.stdout.splitlines() == [
        "provider  model   meter                  old  new",
        "openai    gpt-4o  input_uncached_tokens  5    2.5",
        "openai    gpt-4o  cache_read_tokens      5    1.25",
        "openai    gpt-4o  output_text_tokens     15   10",
    ]


def test_the_overlay_is_compared_with_the_base() -> None:
    rows = json.loads(run("diff", "--overlay", "--provider", "openai", "--format", "json").stdout)

    shown = {(row["model"], row["context"], row["to"][:10], row["meter"]): (row["old"], row["new"]) for row in rows}
    assert shown["*", "", "", "code_interpreter_sessions"] == ("", "$0.03")
    assert shown["*", "flex", "", "any token"] == ("", "x 0.5")
    assert shown["gpt-4o", "", "2024-10-02", "input_uncached_tokens"] == ("2.5", "5")
    assert shown["gpt-4o-audio-preview-2024-10-01", "", "", "output_audio_tokens"] == ("10", "200")


def test_a_base_of_yours_is_compared_with_the_shipped_one(tmp_path: Path) -> None:
    home = {"SPANLEDGER_HOME": str(tmp_path)}
    none = CliRunner(env=home).invoke(cli, ["prices", "diff"])
    write_half_turbo(tmp_path / "prices_base.jsonl")

    own = CliRunner(env=home).invoke(cli, ["prices", "diff"])
    use_book(None)

    assert "there is no base of yours" in none.stderr
    assert own.stdout.splitlines()[1:] == [
        "openai    gpt-4-turbo  input_uncached_tokens  10   5",
        "openai    gpt-4-turbo  output_text_tokens     30   15",
    ]


@pytest.mark.parametrize(
    "arguments", [("--to", "2024-01-01"), ("--overlay", "--from", "2024-01-01"), (__file__,), ("--provider", "nobody")]
)
def test_questions_that_cannot_be_are_refused(arguments: tuple[str, ...]) -> None:
    assert run("diff", *arguments).exit_code == 2


def test_a_day_lists_one_price_where_the_overlay_has_another_than_the_base() -> None:
    result = run("list", "--provider", "openai", "--model", "gpt-3.5-turbo", "--at", "2024-01-15", "--format", "json")

    shown = {row["model"]: (row["price_id"], row["to"]) for row in json.loads(result.stdout)}
    assert shown["gpt-3.5-turbo"] == ("overlay:openai/gpt-3.5-turbo", "2024-02-16T00:00:00Z")
    assert len(json.loads(result.stdout)) == len(shown)
