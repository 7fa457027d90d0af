"""What an answer from the response cache takes, beside the same call made bare: CPU and wall time, in one process.

The SDK is the real one down to an in-memory transport that answers at once, so a bare call is the SDK's own work and
nothing else: what a provider takes, a hit saves on top. Bare calls, traced ones whose answers are kept (each asks
something new) and hits come in turn, in rounds, pinned to one core; figures are medians of rounds. Answers are kept in
the file of a home folder.

    python benchmarks/response_cache.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from overhead import bodies, collector

CALLS: Final = 50
"""Calls of each kind in a round."""
PROMPT: Final = "Where is the best hotel in Paris, and what does a night cost? " * 16
_CASES: Final = ("openai chat, 1 kB", "openai chat, 20 kB", "openai stream of 50 chunks", "anthropic message, 1 kB")


def calls() -> dict[str, Callable[[str], None]]:
    """Return what makes one call of each case, with a user message that begins with a text."""
    import anthropic
    import httpx2
    import openai

    answers = bodies()

    def answer(request: httpx2.Request) -> httpx2.Response:
        if b'"stream":true' in request.content:
            return httpx2.Response(200, content=answers["openai stream"], headers={"content-type": "text/event-stream"})
        kind = "openai chat" if "chat/completions" in request.url.path else "anthropic message"
        return httpx2.Response(200, content=answers[kind], headers={"content-type": "application/json"})

    transport = httpx2.MockTransport(answer)
    gpt: Any = openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=transport))
    claude: Any = anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport))

    def messages(asked: str, times: int = 1) -> list[dict[str, str]]:
        return [{"role": "user", "content": asked + PROMPT * times}]

    def read(stream: Any) -> None:
        for _ in stream:
            pass

    asks: tuple[Callable[[str], None], ...] = (
        lambda asked: gpt.chat.completions.create(model="gpt-4o", messages=messages(asked)),
        lambda asked: gpt.chat.completions.create(model="gpt-4o", messages=messages(asked, 20)),
        lambda asked: read(gpt.chat.completions.create(model="gpt-4o", messages=messages(asked), stream=True)),
        lambda asked: claude.messages.create(model="claude-haiku-4-5", max_tokens=400, messages=messages(asked)),
    )
    return dict(zip(_CASES, asks, strict=True))


def measure(rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return microseconds a call: by case and way, CPU of the process and wall time."""
    import _spanledger_boot
    import spanledger

    number = itertools.count()
    taken: dict[str, dict[str, list[tuple[float, float]]]] = {
        case: {way: [] for way in ("bare", "kept", "hit")} for case in _CASES
    }
    table = calls()
    for turn in range(rounds + 2):
        for case, way in itertools.product(_CASES, ("bare", "kept", "hit")):
            (_spanledger_boot.switch_off if way == "bare" else _spanledger_boot.switch_on)()
            table[case]("same ")
            gc.collect()
            cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
            for _ in range(CALLS):
                table[case](f"{next(number)} " if way == "kept" else "same ")
            wall_us = (time.perf_counter_ns() - wall_ns) / 1000 / CALLS
            if way != "bare":
                spanledger.flush(30)
            if turn >= 2:  # the first rounds warm everything up
                taken[case][way].append(((time.process_time_ns() - cpu_ns) / 1000 / CALLS, wall_us))
    return {
        case: {
            way: {
                "cpu_us": round(statistics.median(cpu for cpu, _ in figures), 1),
                "wall_us": round(statistics.median(wall for _, wall in figures), 1),
            }
            for way, figures in ways.items()
        }
        for case, ways in taken.items()
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with collector() as url, tempfile.TemporaryDirectory() as home:
        Path(home, "policy.toml").write_text('[[cache]]\nname = "all"\nalways = true\n', "utf-8")
        os.environ |= {"SPANLEDGER_ENDPOINT": url, "SPANLEDGER_HOME": home, "ANTHROPIC_OPEN_TELEMETRY": "false"}
        os.environ.pop("SPANLEDGER_ENABLED", None)
        found = measure(options.rounds)
        size = sum(path.stat().st_size for path in Path(home).glob("answers.sqlite3*"))
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    versions = {name: version(name) for name in ("openai", "anthropic", "httpx2")}
    print(json.dumps({**machine, **versions, "us_per_call": found, "file_bytes": size}, indent=2))


if __name__ == "__main__":
    main()
