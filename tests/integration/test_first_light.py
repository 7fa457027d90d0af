"""From one environment variable to a priced row: an unchanged program, the collector, SQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collecting import RealCollector, collecting
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider

SCRIPT = """
from openai import OpenAI

client = OpenAI(api_key="none", base_url="{url}/v1")
answer = client.chat.completions.create(
    model="gpt-4-turbo",
    messages=[{{"role": "user", "content": "What does this cost?"}}],
)
print(answer.choices[0].message.content)
"""
QUERY = "select user_id, request_model, input_tokens, output_tokens, cost_usd from llm_calls"


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(seed=1) as provider:
        yield provider


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RealCollector]:
    with collecting(tmp_path) as collector:
        yield collector


def run_script(folder: Path, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run an unchanged user's program in an environment that is clean of our variables."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    path = folder / "app.py"
    path.write_text(code, "utf-8")
    environment = {**plain, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"), **more}
    return subprocess.run(
        [sys.executable, str(path)], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )


def send_what_was_kept(folder: Path, collector: RealCollector) -> None:
    """Send what a program had no time for at its end, on a busy machine: it waits for the next one."""
    if not list((folder / "data" / "spanledger" / "spool").glob("[!.]*")):
        return
    code = "from spanledger import ledger\nassert ledger.start()\nassert ledger.flush(60)\n"
    done = run_script(folder, code, SPANLEDGER_ENABLED="1", SPANLEDGER_ENDPOINT=collector.endpoint)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_ten_line_program_without_our_import_appears_in_sql(
    provider: LocalProvider, collector: RealCollector, tmp_path: Path
) -> None:
    provider.plan(Plan(usage=Usage.from_totals(5000, 600)))
    done = run_script(
        tmp_path, SCRIPT.format(url=provider.url), SPANLEDGER_ENABLED="1", SPANLEDGER_ENDPOINT=collector.endpoint
    )
    assert done.returncode == 0
    assert done.stderr == "" or "timed out" in done.stderr
    send_what_was_kept(tmp_path, collector)
    collector.wait_for_spans(1)
    asked = subprocess.run(
        [sys.executable, "-m", "spanledger_cli", "sql", QUERY, "--format", "json", "--lake", str(collector.lake)],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert json.loads(asked.stdout) == [
        {
            "user_id": None,
            "request_model": "gpt-4-turbo",
            "input_tokens": 5000,
            "output_tokens": 600,
            "cost_usd": "0.068000000000",
        }
    ]


def test_with_the_variable_unset_nothing_happens(provider: LocalProvider, tmp_path: Path) -> None:
    code = "import sys\nbefore = set(sys.modules)\n" + SCRIPT.format(url=provider.url)
    code += "\nprint(sorted(name for name in sys.modules if 'spanledger' in name))\n"
    before = {path.name for path in tmp_path.iterdir()}
    done = run_script(tmp_path, code, SPANLEDGER_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "[]", "")
    assert {path.name for path in tmp_path.iterdir()} - before == {"app.py"}


def test_a_call_is_queryable_seconds_after_it_was_made(
    provider: LocalProvider, collector: RealCollector, tmp_path: Path
) -> None:
    """The lag itself is for benchmarks; here it is the row's own clock that must not run ahead."""
    run_script(
        tmp_path, SCRIPT.format(url=provider.url), SPANLEDGER_ENABLED="1", SPANLEDGER_ENDPOINT=collector.endpoint
    )
    send_what_was_kept(tmp_path, collector)
    collector.wait_for_spans(1)
    [(ordered,)] = collector.ask("select ingested_at >= start_time + to_microseconds(duration_us) from spans")
    assert ordered
