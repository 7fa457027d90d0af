"""A base of the user's own in use: by the collector while it runs, by a program that is traced, and by commands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from application import run_script
from collecting import RealCollector, collecting
from otlp_bodies import Value, request, span
from otlp_sink import OtlpSink
from own_base import write_half_turbo
from patience import PATIENT
from spanledger.book import use_book
from spanledger_cli import cli
from spanledger_cli.demo.provider import LocalProvider

CHAT: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4-turbo",
    "gen_ai.usage.input_tokens": 5000,
    "gen_ai.usage.output_tokens": 600,
}
SHIPPED = (Decimal("0.068"), "base:openai/gpt-4-turbo")
OWN = (Decimal("0.034"), "base-0.9.1:openai/gpt-4-turbo")


@pytest.fixture(autouse=True)
def _shipped_again() -> Iterator[None]:
    yield
    use_book(None)


def test_the_collector_follows_the_base_in_its_home_and_falls_back_to_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "home" / "prices_base.jsonl"
    with collecting(tmp_path) as collector:
        _send(collector, 1)
        write_half_turbo(path)
        _send(collector, 2)
        path.write_text(path.read_text("utf-8")[:100_000], "utf-8")
        _send(collector, 3)
        write_half_turbo(path)
        _send(collector, 4)
        path.unlink()
        _send(collector, 5)

        booked = collector.ask("select cost_usd, price_id from spans order by start_time")
    assert booked == [SHIPPED, OWN, SHIPPED, OWN, SHIPPED]


def test_a_program_prices_by_its_base_and_one_that_is_broken_is_told_once(tmp_path: Path) -> None:
    good, broken = tmp_path / "good.jsonl", tmp_path / "broken.jsonl"
    write_half_turbo(good)
    broken.write_text("{}\n", "utf-8")
    with LocalProvider() as provider, OtlpSink() as sink:
        ended = {
            path: run_script(
                f"{PATIENT}call(); call()", provider, sink.url, tmp_path / "home", SPANLEDGER_PRICES=str(path)
            )
            for path in (good, broken)
        }

    assert [program.returncode for program in ended.values()] == [0, 0]
    ids = [told["attributes"]["spanledger.price.id"].partition(":")[0] for told in sink.spans()]
    assert sorted(ids) == ["base", "base", "base-0.9.1", "base-0.9.1"]
    assert ended[good].stderr == ""
    (line,) = ended[broken].stderr.splitlines()
    assert f"calls priced by the shipped base: {broken}: is no base of the price book" in line


def test_commands_price_by_it_and_say_which_base_it_is(tmp_path: Path) -> None:
    write_half_turbo(tmp_path / "prices_base.jsonl")
    run = CliRunner(env={"SPANLEDGER_HOME": str(tmp_path)})
    usage = ["--usage", '{"input_tokens": 5000, "output_tokens": 600}']

    priced = json.loads(run.invoke(cli, ["price", "openai", "gpt-4-turbo", *usage]).stdout)
    overlaid = json.loads(run.invoke(cli, ["price", "openai", "gpt-4o", "--at", "2024-05-20T12:00:00Z", *usage]).stdout)
    doctor = run.invoke(cli, ["doctor", "--endpoint", "http://127.0.0.1:1"])

    assert (Decimal(priced["cost_usd"]), priced["price_id"]) == OWN
    assert (overlaid["cost_usd"], overlaid["price_id"]) == ("0.034", "overlay:openai/gpt-4o")
    assert f"{tmp_path / 'prices_base.jsonl'}, genai-prices 0.9.1 (shipped: genai-prices 0.2." in doctor.stdout


@pytest.mark.parametrize(
    ("release", "forced", "price_id"), [("0.1.9", False, SHIPPED[1]), ("0.1.9", True, "base-0.1.9:openai/gpt-4-turbo")]
)
def test_a_base_older_than_the_shipped_one_counts_only_where_it_was_forced(
    tmp_path: Path, release: str, forced: bool, price_id: str
) -> None:
    write_half_turbo(tmp_path / "prices_base.jsonl", release, forced=forced)

    ended = CliRunner(env={"SPANLEDGER_HOME": str(tmp_path)}).invoke(
        cli, ["price", "openai", "gpt-4-turbo", "--usage", '{"input_tokens": 5000}']
    )

    assert json.loads(ended.stdout)["price_id"] == price_id
    assert ("is of genai-prices 0.1.9, and the shipped base of genai-prices" in ended.stderr) is not forced


def _send(collector: RealCollector, number: int) -> None:
    """Send a call, and wait for its row."""
    now = time.time_ns()
    sent = span(CHAT, number=number, start_time_unix_nano=now, end_time_unix_nano=now)
    headers = {"content-type": "application/x-protobuf"}
    with urlopen(Request(f"{collector.endpoint}/v1/traces", request(sent), headers), timeout=60) as reply:
        assert reply.status == 200
    collector.wait_for_spans(number)
