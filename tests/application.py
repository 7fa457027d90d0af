"""Programs that do not know of spanledger, run as their users run them: only the environment switches it on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from otlp_sink import OtlpSink
from spanledger_cli.demo.provider import LocalProvider
from waiting import wait_until

CALL = """
import sys
from openai import OpenAI

def call(*_anything, **more):
    client = OpenAI(base_url=sys.argv[1] + "/v1", api_key="none")  # a new one: processes must not share connections
    return client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}], **more)
"""


def environment(endpoint: str, home: Path, **more: str) -> dict[str, str]:
    """Return this process's environment with tracing switched on, towards `endpoint`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPANLEDGER_", "OTEL_"))}
    return {
        **kept,
        "SPANLEDGER_ENABLED": "1",
        "SPANLEDGER_ENDPOINT": endpoint,
        "SPANLEDGER_HOME": str(home),
        **more,
    }


def run_script(
    code: str, provider: LocalProvider, endpoint: str, home: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script, with `call()` above it, from a file: processes that are spawned read it again."""
    home.mkdir(exist_ok=True)
    script = home / "script.py"
    script.write_text(CALL + code)
    return subprocess.run(
        [sys.executable, str(script), provider.url],
        env=environment(endpoint, home, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def running(argv: Sequence[str], variables: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for a while; its output goes to `<folder>/output`."""
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(argv, env=variables, cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> str:
    """Return what a server answers, waiting for it to start."""
    answers: list[str] = []

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                answers.append(answer.read().decode())
        except ConnectionRefusedError:
            return False
        except OSError as error:
            if isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                return False
            raise
        return True

    wait_until(ask, timeout_s=100, what=f"an answer from {url}")
    return answers[0]


def response_ids(sink: OtlpSink) -> list[str]:
    """Return the ids of the calls that arrived, repeats included."""
    return sorted(span["attributes"]["gen_ai.response.id"] for span in sink.spans())


def billed_ids(provider: LocalProvider) -> list[str]:
    """Return the ids of the calls that the provider charges for."""
    return sorted(call.response_id for call in provider.billed)
