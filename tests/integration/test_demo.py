"""`spanledger demo` as a newcomer runs it: a process, real SDKs, a real collector, a lake of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from collector_process import collecting, span_ids
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS
from spanledger_analytics.connection import connect
from spanledger_cli.demo.history import make_batches, send
from spanledger_cli.demo.plans import BilledCall
from waiting import wait_until

COMMAND = [sys.executable, "-m", "spanledger_cli", "demo", "--grpc-port", "0", "--http-port", "0"]


@dataclass(frozen=True, slots=True)
class Run:
    """A finished `demo --once`."""

    code: int
    stdout: str
    stderr: str
    lake: Path
    bill: list[BilledCall]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return connect(self.lake).execute(query).fetchall()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("demo")
    lake, home = folder / "lake", folder / "home"
    argv = [*COMMAND, "--once", "--lake", str(lake), "--home", str(home)]
    # What the user has set for other programs must not lead the demo astray.
    env = {**os.environ, "OTEL_SDK_DISABLED": "true", "SPANLEDGER_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=400)
    bill = [BilledCall.from_json(line) for line in (home / "bill.jsonl").read_text().splitlines()]
    assert done.returncode == 0, done.stderr
    return Run(done.returncode, done.stdout, done.stderr, lake, bill)


def test_the_summary_says_what_sql_says(run: Run) -> None:
    calls, usd, tokens_in, tokens_out = run.ask(
        "select count(*), sum(cost_usd), sum(input_tokens), sum(output_tokens) from llm_calls"
    )[0]
    user, user_usd = run.ask("select user_id, sum(cost_usd) usd from llm_calls group by 1 order by 2 desc limit 1")[0]
    trace, trace_usd = run.ask("select trace_id, sum(cost_usd) from llm_calls group by 1 order by 2 desc limit 1")[0]
    words = re.sub(r"\s+", " ", run.stdout)
    for told in (
        f"calls {calls:,} (",
        f"tokens in {tokens_in:,} ",
        f"tokens out {tokens_out:,} ",
        f"dollars ${usd:,.2f} ",
        f"most expensive user {user}: ${user_usd:,.2f} in",
        f"UTC: ${trace_usd:,.2f} in",
        f"its trace {trace} ",
    ):
        assert told in words


def test_the_hotel_search_is_billed_with_its_history_sent_again(run: Run) -> None:
    searches = run.ask(
        "select list(input_tokens order by start_time), list(output_tokens order by start_time), sum(cost_usd)"
        " from llm_calls where feature = 'hotel-search' and tags['history'] is null group by trace_id"
    )
    assert len(searches) >= 2
    assert all(search == ([3000, 4550, 5400], [50, 350, 200], Decimal("0.1475")) for search in searches)
    words = re.sub(r"\s+", " ", run.stdout)
    assert "billed: every call carries the history 12,950 600 $0.1475" in words
    assert "if each text were sent once 5,000 600 $0.068" in words


def test_the_ledger_holds_the_providers_bill_to_the_token(run: Run) -> None:
    parts = (*INPUT_PARTS, *OUTPUT_PARTS)
    booked = run.ask(
        f"select response_id, stream is true, {', '.join(parts)} from llm_calls"
        " where tags['history'] is null and response_id is not null and billing_basis <> 'cached'"
    )
    billed = [
        (call.response_id, call.stream, *(getattr(call.usage, part) for part in parts))
        for call in run.bill
        if call.response_id
    ]
    assert sorted((row[0], row[1], *(part or 0 for part in row[2:])) for row in booked) == sorted(billed)
    nameless = run.ask(
        "select input_tokens from llm_calls"
        " where operation = 'embeddings' and tags['history'] is null order by input_tokens"
    )
    assert [tokens for (tokens,) in nameless] == sorted(
        call.usage.input_tokens for call in run.bill if not call.response_id
    )


def test_agents_cover_what_sdks_can_do(run: Run) -> None:
    seen = run.ask(
        "select distinct provider, operation, stream is true from llm_calls"
        " where tags['history'] is null and status <> 'error'"
    )
    assert {
        ("anthropic", "chat", False),
        ("anthropic", "chat", True),
        ("openai", "chat", False),
        ("openai", "chat", True),
        ("openai", "embeddings", False),
    } == set(seen)
    used = run.ask(
        "select sum(cache_read_tokens) > 0, sum(cache_write_5m_tokens) > 0, sum(cache_write_1h_tokens) > 0,"
        " sum(reasoning_tokens) > 0, max(attempts) > 1 from llm_calls where tags['history'] is null"
    )
    assert used == [(True, True, True, True, True)]


def test_what_has_no_price_says_why(run: Run) -> None:
    live = run.ask(
        "select unpriced_reason, status, coalesce(request_model, '') from llm_calls"
        " where cost_usd is null and tags['history'] is null group by all order by all"
    )
    assert live == [("error", "error", "gpt-5.4-mini"), ("unknown_model", "unset", "travel-tuned-7b")]


def test_every_call_says_who_caused_it(run: Run) -> None:
    (unknown,) = run.ask(
        "select count(*) from llm_calls where user_id is null or team_id is null or customer_id is null"
        " or feature is null or session_id is null or environment is null or service_name <> 'travel-agents'"
    )
    assert unknown == (0,)
    kinds = run.ask(
        "select count(distinct user_id), count(distinct team_id), count(distinct customer_id),"
        " count(distinct feature), list(distinct environment order by environment) from llm_calls"
    )
    assert kinds == [(8, 5, 3, 8, ["production", "staging"])]


def test_the_policy_stops_a_runaway_has_a_cheaper_model_answer_and_saves_money(run: Run) -> None:
    (stopped,) = run.ask(
        "select count(*), count(distinct trace_id), bool_and(cost_usd = 0 and input_tokens is null) from spans"
        " where feature = 'flight-scout' and guard_action = 'block' and guard_policy = 'one run of the flight scout'"
        " and tags['history'] is null"
    )
    assert stopped[0] > 6
    assert stopped[1:] == (2, True), "one run in each environment"
    spent = run.ask("select sum(cost_usd) from llm_calls where feature = 'flight-scout' group by trace_id")
    assert all(Decimal("0.15") < usd <= Decimal("0.25") for (usd,) in spent)
    degraded = run.ask(
        "select distinct team_id, request_model, routed_from, avoided_usd > cost_usd from spans"
        " where guard_action = 'degrade'"
    )
    assert degraded == [("marketing", "gpt-5.4-mini", "gpt-5.5", True)]
    ((refused, refused_usd),) = run.ask(
        "select count(*), sum(estimate_amount) from guard_events where refused and not shadow"
        " and span_id in (select span_id from spans where tags['history'] is null)"
    )
    ((cheaper, cached, avoided),) = run.ask(
        "select count(*) filter (where guard_action = 'degrade'), count(*) filter (where cache_hit), sum(avoided_usd)"
        " from spans where tags['history'] is null"
    )
    assert cached > 0
    words = re.sub(r"\s+", " ", run.stdout)
    assert f"refused by the policy {refused} calls of a runaway agent, expected to cost ${refused_usd:,.2f}" in words
    assert f"saved by it ${avoided:,.2f}: {cheaper} calls at a cheaper model, {cached} from the cache" in words


def test_its_history_has_days_on_which_the_policy_did_as_much(run: Run) -> None:
    days = run.ask(
        "select count(distinct dt) filter (where guard_action = 'block' and cost_usd = 0 and input_tokens is null),"
        " count(distinct dt) filter (where guard_action = 'degrade' and avoided_usd > cost_usd),"
        " count(distinct dt) filter (where cache_hit and cost_usd = 0 and avoided_usd > 0)"
        " from spans where tags['history'] is not null"
    )
    assert days[0][0] >= 14
    assert min(days[0][1:]) >= 29


def test_its_budgets_are_those_of_its_teams(run: Run) -> None:
    places = ["--home", str(run.lake.parent / "home"), "--lake", str(run.lake)]
    argv = [sys.executable, "-m", "spanledger_cli", "alerts", "check", *places, "--format", "json"]
    told = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=300).stdout)
    used = {tuple(row["scope"].split(", ")): Decimal(row["value"]) for row in told if row["rule"] == "a team, a month"}
    periods = {scope[1] for scope in used} or {f"period={datetime.now(UTC):%Y-%m}-01"}  # a month may have just begun
    (month,) = (period.removeprefix("period=") for period in periods)
    for team, usd in run.ask(
        f"select team_id, sum(cost_usd) from llm_calls where dt >= '{month}' and team_id <> 'marketing' group by 1"
    ):
        assert used["basis=actual", f"period={month}", f"team={team}", "threshold=80"] == usd


def test_words_and_progress_go_to_stderr_only(run: Run) -> None:
    assert "sending 30 days of history" in run.stderr
    assert "demo:" not in run.stdout


def test_history_sent_twice_is_there_once(tmp_path: Path) -> None:
    batches = list(make_batches(7, datetime.now(UTC), days=1))
    sent = sum(batch.spans for batch in batches)
    with collecting(tmp_path) as collector:
        endpoint = f"http://127.0.0.1:{collector.http_port}"
        for _run in range(2):
            counted: list[int] = []
            send(batches, endpoint, counted.append)
            assert sum(counted) == sent
            collector.wait_for_commit()
        ids = span_ids(collector.lake)
    assert len(ids) == len(set(ids)) == sent


@pytest.mark.parametrize("flag", ["--grpc-port", "--http-port", "--dashboard-port"])
def test_a_taken_port_is_named_with_its_flag_before_anything_starts(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        home = tmp_path / "home"
        argv = [
            *COMMAND,
            "--dashboard-port",
            "0",
            flag,
            str(port),
            "--lake",
            str(tmp_path / "lake"),
            "--home",
            str(home),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"spanledger: port {port} on 127.0.0.1 is taken; stop the other program or choose another with {flag}\n"
    )
    assert not home.exists()


@dataclass(frozen=True, slots=True)
class Running:
    """A demo under way."""

    process: subprocess.Popen[bytes]
    folder: Path

    def words(self) -> str:
        return (self.folder / "stderr").read_text()

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.words() or self.process.poll() is not None, timeout_s=300, what=words)
        assert words in self.words()

    def processes(self) -> list[str]:
        """Return the command lines that have its folder or its provider's address in them."""
        told = re.search("the local provider is at (.*)", self.words())
        listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True)
        traces = [str(self.folder), told.group(1) if told else str(self.folder)]
        return [line for line in listed.stdout.splitlines() if any(trace in line for trace in traces)]


@contextmanager
def running_demo(folder: Path, *flags: str, shell: str = 'exec "$@"') -> Iterator[Running]:
    argv = ["sh", "-c", shell, "sh", *COMMAND, *flags, "--lake", str(folder / "lake"), "--home", str(folder / "home")]
    with (
        (folder / "stderr").open("wb") as words,
        (folder / "stdout").open("wb") as data,
        subprocess.Popen(argv, stdout=data, stderr=words, start_new_session=True) as process,
    ):
        try:
            yield Running(process, folder)
        finally:
            if process.poll() is None:
                process.terminate()


def test_ctrl_c_stops_every_child(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--dashboard-port", "0") as demo:
        demo.wait_for("agents keep working")
        started = demo.processes()
        assert len(started) >= 7, "the demo, the collector, its two children, the dashboard, two times agents"
        assert re.search(r"Dashboard: http://127\.0\.0\.1:\d+\n", (tmp_path / "stdout").read_text())
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(180) == 0
        wait_until(lambda: not demo.processes(), timeout_s=60, what="the end of every child")


def test_sigterm_half_way_stops_every_child_of_a_job_in_the_background(tmp_path: Path) -> None:
    """A shell without job control starts such a job with Ctrl-C ignored."""
    with running_demo(tmp_path, "--once", shell='trap "" INT; exec "$@"') as demo:
        demo.wait_for("agents are running")
        demo.process.send_signal(signal.SIGTERM)
        assert demo.process.wait(180) == 1
        wait_until(lambda: not demo.processes(), timeout_s=60, what="the end of every child")


def test_a_demo_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--dashboard-port", "0") as demo:
        demo.wait_for("agents are running")
        demo.process.kill()
        wait_until(lambda: not demo.processes(), timeout_s=60, what="the end of every child")
