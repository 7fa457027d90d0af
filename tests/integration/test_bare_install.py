"""What `pip install spanledger` brings is enough for an application: all other packages are hidden here."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from application import CALL, billed_ids, environment, response_ids
from otlp_sink import OtlpSink
from spanledger_cli.demo.provider import LocalProvider

PATIENT = """
from spanledger import delivery, ledger
delivery.HURRY_TIMEOUT_S, ledger.EXIT_LIMIT_S = 20.0, 60.0
"""
"""At its end a program waits for an answer on a slow machine, too, in place of leaving its spans for the next one."""


def _needed(*names: str) -> set[str]:
    """Name distributions, and all that they require without an extra."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found.add(name)
            try:
                required = requires(name) or []
            except PackageNotFoundError:
                required = []
            waiting += [re.split(r"[^\w.-]", one)[0] for one in required if "extra ==" not in one]
    return found


def _hidden(*kept: str) -> list[str]:
    """Name the modules of every distribution that those to keep can do without."""
    needed = _needed(*kept)
    owners = {
        module: {re.sub(r"[-_.]+", "-", one).lower() for one in of} for module, of in packages_distributions().items()
    }
    return [module for module, of in owners.items() if not of & needed and not module.startswith("_")]


def _run(code: str, provider: LocalProvider, sink: OtlpSink, home: Path) -> subprocess.CompletedProcess[str]:
    # OpenTelemetry's SDK is installed with us, and hidden all the same: only an application that has it meets it.
    hide = f"import sys; sys.modules.update(dict.fromkeys({_hidden('openai', 'click')!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", hide + PATIENT + code, provider.url],
        env=environment(sink.url, home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_what_is_hidden_is_all_but_the_sdk_and_the_command_line() -> None:
    hidden = set(_hidden("openai", "click"))

    assert {"grpc", "opentelemetry", "pyarrow", "duckdb", "anthropic", "boto3", "rich"} <= hidden
    assert not {"openai", "httpx2", "pydantic", "click", "spanledger"} & hidden


def test_calls_and_streams_are_priced_and_sent(tmp_path: Path) -> None:
    with LocalProvider() as provider, OtlpSink() as sink:
        done = _run(CALL + "call()\nfor _ in call(stream=True): pass", provider, sink, tmp_path)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert response_ids(sink) == billed_ids(provider)
        assert [span["attributes"]["spanledger.cost.pico_usd"] > 0 for span in sink.spans()] == [True, True]


def test_an_outcome_is_sent_from_the_command_line(tmp_path: Path) -> None:
    command = (
        "from spanledger_cli import main\nmain(['outcome', '--session', 's-9', '--name', 'resolved', '--success'])"
    )
    with LocalProvider() as provider, OtlpSink() as sink:
        done = _run(command, provider, sink, tmp_path)

        assert (done.returncode, done.stderr) == (0, "")
        assert len(sink.spans()) == 1
