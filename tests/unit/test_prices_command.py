"""`spanledger prices`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from click.testing import CliRunner, Result

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


def test_two_files_of_the_book_are_compared(tmp_path: Path) -> None:
    def file(name: str, rate: int, *more: str) -> str:
        entry = {"model": "a", "match": "a", "tables": [[{"prices": {"input_tokens": rate}}]]}
        lines = ['{"generated":"here"}', '{"provider":"acme"}', json.dumps(entry), *more]
        (tmp_path / name).write_text("\n".join(lines), "utf-8")
        return str(tmp_path / name)

    new = json.dumps({"model": "b", "match": "b", "tables": [[{"prices": {}, "free": True}]]})

    result = run("diff", file("old.jsonl", 10**12), file("new.jsonl", 2 * 10**12, new))

    assert result.stdout.splitlines() == [
        "- acme/a: model=a prices=input_uncached_tokens=1",
        "+ acme/a: model=a prices=input_uncached_tokens=2",
        "+ acme/b: model=b prices=free",
    ]
