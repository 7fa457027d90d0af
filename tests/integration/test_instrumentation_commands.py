"""`spanledger run` and `spanledger doctor`, as a user types them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from otlp_sink import OtlpSink
from spanledger.spool import Spool


def _spanledger(
    *arguments: str, home: Path, code: int = 0, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "spanledger_cli", *arguments],
        env={**kept, "SPANLEDGER_HOME": str(home), **(variables or {})},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    return ran


def test_run_switches_on_for_one_command_and_passes_its_exit_code_through(tmp_path: Path) -> None:
    script = (
        "import os, sys, _spanledger_boot as b; print(b.on, os.environ['SPANLEDGER_ENDPOINT'], sys.argv); sys.exit(7)"
    )
    ran = _spanledger(
        "run", "--endpoint", "http://x:1", "--", sys.executable, "-c", script, "--endpoint", "-h", home=tmp_path, code=7
    )

    assert (ran.stdout, ran.stderr) == ("True http://x:1 ['-c', '--endpoint', '-h']\n", "")


def test_run_names_a_command_that_is_not_there(tmp_path: Path) -> None:
    ran = _spanledger("run", "no-such-command", home=tmp_path, code=1)

    assert ran.stderr == ("spanledger: can't run no-such-command: No such file or directory; check its name and PATH\n")


def _findings(home: Path, **variables: str) -> dict[str, tuple[str, str]]:
    answer = json.loads(_spanledger("doctor", "--format", "json", home=home, variables=variables).stdout)
    return {finding["check"]: (finding["state"], finding["detail"]) for finding in answer}


def test_doctor_finds_everything_in_order(tmp_path: Path) -> None:
    with OtlpSink() as sink:
        found = _findings(tmp_path, SPANLEDGER_ENABLED="1", SPANLEDGER_ENDPOINT=sink.url)

    assert list(found) == [
        "spanledger",
        "switch",
        "SPANLEDGER_ENABLED",
        "anthropic",
        "botocore",
        "google-genai",
        "openai",
        "settings file",
        "endpoint",
        "home",
        "prices",
        "spool",
        "faults",
        "lake",
        "alerts",
        "policy",
    ]
    assert {state for check, (state, _) in found.items() if check not in ("home", "lake")} == {"ok"}
    assert found["endpoint"] == ("ok", f"{sink.url}/v1/traces takes spans (http/protobuf)")
    assert found["openai"][1].endswith("calls are recorded")
    assert sink.spans() == []


def test_doctor_says_what_is_wrong(tmp_path: Path) -> None:
    Spool(tmp_path / "spool").keep(b"x" * 2000)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        found = _findings(tmp_path, SPANLEDGER_ENABLED="1", OTEL_SDK_DISABLED="true", SPANLEDGER_ENDPOINT=endpoint)

    assert found["SPANLEDGER_ENABLED"] == ("warn", "1, but OTEL_SDK_DISABLED switches it off again")
    assert found["endpoint"][0] == "warn"
    advice = "not reachable, spans wait in the spool; `spanledger up` starts a collector"
    assert found["endpoint"][1].startswith(f"{advice}: {endpoint}/v1/traces: ")
    assert found["spool"][0] == "warn"
    assert found["spool"][1].startswith("1 batch waits, 2.0 kB, 0 % full, oldest ")


def test_doctor_says_what_is_wrong_with_the_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('[[limit]]\nname = "one"\nconcurrent = 1\nshadow = true\n')
    good = _findings(tmp_path)["policy"]
    (tmp_path / "policy.toml").write_text('[[limit]]\nname = "one"\nconcurrent = 0\n')
    state, told = _findings(tmp_path)["policy"]

    assert good == ("ok", f"1 rule of {tmp_path / 'policy.toml'}, 1 in shadow, store memory")
    assert state == "warn"
    assert told.endswith("line 3: [[limit]] concurrent: expected a whole number of at least 1, not 0")


def test_doctor_aligns_its_lines_for_reading(tmp_path: Path) -> None:
    lines = _spanledger("doctor", home=tmp_path).stdout.splitlines()

    assert len(lines) == 16
    assert {line[:6] for line in lines} <= {"ok    ", "warn  "}
    assert all(line[6:24].endswith(" ") or line[24:26] == "  " for line in lines)


def test_doctor_stops_at_settings_it_cannot_read(tmp_path: Path) -> None:
    ran = _spanledger("doctor", home=tmp_path, code=1, variables={"SPANLEDGER_ENDPOINT": "collector"})

    assert ran.stderr == (
        "spanledger: SPANLEDGER_ENDPOINT = 'collector': expected http://host:port or https://host:port\n"
    )
