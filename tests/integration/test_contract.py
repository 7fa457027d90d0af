"""A contract in use: by a program that is traced, by the collector while it runs, and by the command."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from click.testing import CliRunner

from aged import age
from application import run_script
from collecting import RealCollector, collecting
from otlp_bodies import Value, request, span
from otlp_sink import OtlpSink
from spanledger import contract
from spanledger_cli import cli
from spanledger_cli.demo.provider import LocalProvider
from waiting import wait_until

HALF = '[[discount]]\nname = "half"\nprovider = "openai"\npercent = 50\n'
DELIVERED = """
import spanledger
while not spanledger.flush():
    pass
"""
"""At the end of a program, which waits for no slow machine by itself: then its spans are sent by the next one."""
CHAT: dict[str, Value] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4-turbo",
    "gen_ai.usage.input_tokens": 5000,
    "gen_ai.usage.output_tokens": 600,
}


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RealCollector]:
    with collecting(tmp_path) as collector:
        yield collector


@pytest.fixture(autouse=True)
def _none_in_force() -> Iterator[None]:
    yield
    contract.use(contract.NONE)


def test_the_collector_prices_by_the_contract_in_its_home_and_follows_its_changes(
    collector: RealCollector, tmp_path: Path
) -> None:
    path, log = tmp_path / "home" / "contract.toml", tmp_path / "collector.log"

    def put(text: str) -> None:
        draft = tmp_path / "draft.toml"
        draft.write_text(text, "utf-8")
        age(draft, 2)  # what was changed just now may not be whole
        draft.rename(path)

    def wait_for(words: str) -> None:
        """Wait until the process that prices has looked at the file."""
        wait_until(
            lambda: re.search(f"^convert: .*{words}", log.read_text(), re.MULTILINE) is not None,
            timeout_s=60,
            what=words,
        )

    _send(collector, 1)
    put(HALF)
    wait_for("the contract has changed: /")
    _send(collector, 2)
    put("[[discount]]\nname = 'broken'\n")
    wait_for("the contract of before stays in force")
    _send(collector, 3)
    path.unlink()
    wait_for("the contract has changed: there is none any more")
    _send(collector, 4)

    booked = collector.ask("select cost_usd, cost_source, price_id from spans order by start_time")
    listed = (Decimal("0.068"), "list", "base:openai/gpt-4-turbo")
    half = (Decimal("0.034"), "contract", "contract:half/base:openai/gpt-4-turbo")
    assert booked == [listed, half, half, listed]


def test_a_collector_does_not_start_on_a_contract_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text("[[discount]]\nname = 'broken'\npercent = 12.5\n", "utf-8")

    ended = CliRunner(env={"SPANLEDGER_HOME": str(tmp_path), "SPANLEDGER_CONTRACT": str(path)}).invoke(
        cli, ["collect", "--grpc-port", "0", "--http-port", "0"]
    )

    assert f"{path}, line 3: [[discount]] percent: write the number in quotes" in str(ended.exception)


def test_a_program_prices_by_the_contract_that_its_setting_names(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(HALF, "utf-8")
    with LocalProvider() as provider, OtlpSink() as sink:
        for named in ("", str(path), str(tmp_path / "none.toml")):
            ended = run_script(f"call(){DELIVERED}", provider, sink.url, tmp_path / "home", SPANLEDGER_CONTRACT=named)
            assert ended.returncode == 0, ended.stderr

    found = [span["attributes"] for span in {span["span_id"]: span for span in sink.spans()}.values()]
    assert [told["spanledger.cost.source"] for told in found] == ["list", "contract", "list"]
    costs = [told["spanledger.cost.pico_usd"] for told in found]
    assert (costs[0], costs[0]) == (2 * costs[1], costs[2])


def test_the_command_prices_by_a_contract_and_says_what_one_holds(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(HALF + '\n[[fee]]\nname = "PTU"\nusd_per_month = "5000"\nfrom = 2026-01-01\n', "utf-8")
    run = CliRunner(env={"SPANLEDGER_HOME": str(tmp_path)})

    priced = run.invoke(
        cli, ["price", "openai", "gpt-4-turbo", "--usage", '{"input_tokens": 5000}', "--contract", str(path)]
    )
    shown = run.invoke(cli, ["contract", "show", str(path)])
    nothing = run.invoke(cli, ["contract", "check"])

    answer = json.loads(priced.stdout)
    assert (answer["cost_usd"], answer["cost_source"]) == ("0.025", "contract")
    assert "half" in shown.stdout
    assert "PTU" in shown.stdout
    assert shown.exit_code == 0
    assert "there is no contract" in nothing.stderr


def _send(collector: RealCollector, number: int) -> datetime:
    """Send a call, wait for its row, and return when it was made."""
    now = time.time_ns()
    sent = span(CHAT, number=number, start_time_unix_nano=now, end_time_unix_nano=now)
    headers = {"content-type": "application/x-protobuf"}
    with urlopen(Request(f"{collector.endpoint}/v1/traces", request(sent), headers)) as reply:
        assert reply.status == 200
    collector.wait_for_spans(number)
    return datetime.fromtimestamp(now // 10**9, UTC)


def test_a_late_contract_is_applied_by_reprice_and_sql_answers_as_before_it(tmp_path: Path) -> None:
    path = tmp_path / "late.toml"
    path.write_text(HALF + '[[fx]]\ncurrency = "EUR"\nfrom = 2026-01-01\nusd = "1.25"\n', "utf-8")
    with collecting(tmp_path) as collector:
        day = _send(collector, 1).date()
    run = CliRunner(env={"SPANLEDGER_HOME": str(tmp_path), "SPANLEDGER_CONTRACT": str(path)})
    lake = ["--lake", str(collector.lake)]

    euro, pound, dry, done, again = (
        run.invoke(cli, ["reprice", *lake, "--format", "csv", *more])
        for more in (["--dry-run", "--currency", "eur"], ["--currency", "GBP"], ["--dry-run"], [], [])
    )

    head = "day,provider,model,calls,old_usd,new_usd,difference_usd"
    changed = f"{day},openai,gpt-4-turbo,1,0.068000000000,0.034000000000,-0.034000000000"
    assert dry.stdout.splitlines() == done.stdout.splitlines() == [head, changed]
    assert "1 of 1 calls would change" in dry.stderr
    assert euro.stdout.splitlines() == [
        f"{head},old_eur,new_eur,difference_eur",
        f"{changed},0.054400000000,0.027200000000,-0.027200000000",
    ]
    assert (pound.exit_code, "no rate of GBP" in pound.stderr) == (2, True)
    assert again.stdout.splitlines() == [head]

    def total(*more: str) -> str:
        return run.invoke(cli, ["sql", "select sum(cost_usd) from llm_calls", *lake, "--format", "csv", *more]).stdout

    assert total().splitlines()[1] == "0.034000000000"
    taken_at = collector.ask("select ingested_at from spans")[0][0]
    assert isinstance(taken_at, datetime)
    assert total("--as-of", f"{taken_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}").splitlines()[1] == "0.068000000000"
    assert total("--as-of", "2020-01-01").splitlines()[1] == '""'  # no call was known
