"""CPU that tracing adds to one LLM call: ours beside what else there is, interleaved, each in processes of its own.

The SDKs are the real ones, down to an in-memory transport, so that nothing but the SDK and its tracing is measured. A
figure is the CPU of the whole process (background threads too, all spans flushed) per call: with tracing, less that
of the same process without it right before or after, because two processes differ by more than is measured (only a
peer that cannot be switched off again has two). How memory happens to lie differs from start to start, too, so every
peer is started several times.

Ours prices each call, takes its fingerprints and its tags, and sends it to a server over HTTP; the peers price
nothing, and end in an exporter that drops their spans: what is compared is more work of ours with less of theirs
(`otel, sending` has an exporter that sends). Each peer runs as it comes, in a virtual environment made on first use
below the cache folder, with the SDK versions of this one. A process stays on one core (`--unpinned`: it does not), as
the caches that a thread loses by moving are the machine's and not the peer's to pay for. Trust the ratios: every round
runs every peer once, so that a busy machine slows all of them.

    python benchmarks/overhead.py [--rounds 10] [--starts 3] [--peers otel,openinference,openllmetry]
    python benchmarks/overhead.py --features       # what each of our features costs, instead of peers
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

PEERS = {
    "otel": (
        "opentelemetry-instrumentation-genai-openai==1.3b0",
        "opentelemetry-instrumentation-genai-anthropic==1.3b0",
        "opentelemetry-exporter-otlp-proto-http",
    ),
    "openinference": (
        "openinference-instrumentation-openai==0.1.66",
        "openinference-instrumentation-anthropic==3.1.0",
    ),
    "openllmetry": (
        "opentelemetry-instrumentation-openai==0.62.4",
        "opentelemetry-instrumentation-anthropic==0.62.4",
    ),
}
BUDGETED = "a budget, in memory"
OURS = {
    "spanledger": {},
    "without tags": {},
    "features=none": {"SPANLEDGER_FEATURES": "none"},
    "features=none, without tags": {"SPANLEDGER_FEATURES": "none"},
    "features=sketch": {"SPANLEDGER_FEATURES": "sketch"},
    BUDGETED: {"SPANLEDGER_POLICY": "memory"},
    "a budget, in SQLite": {"SPANLEDGER_POLICY": "sqlite"},
}
"""Ourselves, as we come and otherwise, with the settings for it."""
POLICY = """
[[budget]]
name = "a user's day"
match = { user_id = "*" }
per = "day"
usd = 1_000_000
"""
"""Where SPANLEDGER_POLICY above names a store."""
NEVER_RESTORED = frozenset({"openllmetry"})
"""Peers that wrap once more each time they are switched on, and stay when switched off: one process has none of
it and another has it always, and a pair is a plain run of the one beside a traced run of the other."""
CASES = {
    "openai chat": 100,
    "openai stream": 20,
    "anthropic message": 100,
    "anthropic stream": 20,
    "openai chat, 20 kB": 100,
}
"""Calls of each case in a round; streams have 50 chunks, prompts 1 kB unless it is said otherwise."""
UNPINNED = "BENCHMARK_UNPINNED"
"""Variable that leaves the threads of a process on whichever core the kernel likes."""
CHUNKS = 50
PROMPT = "Where is the best hotel in Paris, and what does a night cost? " * 16


def cache_folder() -> Path:
    """Return where the peers' environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanledger" / "benchmarks"


def python_of(peer: str) -> str:
    """Return the interpreter of a peer, making its environment if there is none."""
    folder = cache_folder() / peer
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        same = [f"{name}=={version(name)}" for name in ("openai", "anthropic", "httpx2", "opentelemetry-sdk")]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *same, *PEERS[peer]], check=True)  # noqa: S603
        (folder / "complete").touch()
    return str(python)


# The worker: one peer, one process


def sse(events: list[tuple[str, dict[str, Any]]]) -> bytes:
    """Return a stream's body."""
    lines = (
        f"event: {name}\ndata: {json.dumps(data)}\n\n" if name else f"data: {json.dumps(data)}\n\n"
        for name, data in events
    )
    return "".join(lines).encode()


def bodies() -> dict[str, bytes]:
    """Return the response of each case."""
    usage = {
        "prompt_tokens": 1200,
        "completion_tokens": 345,
        "total_tokens": 1545,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0},
    }
    head = {"id": "chatcmpl-0123456789abcdefghijklmn", "created": 1_790_000_000, "model": "gpt-4o-2024-08-06"}
    answer = {"index": 0, "message": {"role": "assistant", "content": "Lutetia. " * 40}, "finish_reason": "stop"}
    chunk = {**head, "object": "chat.completion.chunk"}
    chunks: list[tuple[str, dict[str, Any]]] = [
        ("", {**chunk, "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
        for _ in range(CHUNKS - 1)
    ]
    chunks.append(("", {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    chunks.append(("", {**chunk, "choices": [], "usage": usage}))
    spent = {
        "input_tokens": 20,
        "cache_creation_input_tokens": 1500,
        "cache_read_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1100, "ephemeral_1h_input_tokens": 400},
        "output_tokens": 130,
        "service_tier": "standard",
    }
    message = {
        "id": "msg_01ABCDEFGHIJKLMNOPQRSTUV",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": "Lutetia. " * 40}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": spent,
    }
    start = {**message, "content": [], "stop_reason": None, "usage": {**spent, "output_tokens": 1}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 130},
    }
    events = [
        {"type": "message_start", "message": start},
        block,
        *[delta] * (CHUNKS - 5),
        {"type": "content_block_stop", "index": 0},
        end,
        {"type": "message_stop"},
    ]
    return {
        "openai chat": json.dumps({**head, "object": "chat.completion", "choices": [answer], "usage": usage}).encode(),
        "openai stream": sse(chunks) + b"data: [DONE]\n\n",
        "anthropic message": json.dumps(message).encode(),
        "anthropic stream": sse([(str(event["type"]), event) for event in events]),
    }


def calls() -> dict[str, Callable[[], None]]:
    """Return what makes one call of each case."""
    import anthropic
    import httpx2
    import openai

    answers = bodies()

    def answer(request: httpx2.Request) -> httpx2.Response:
        kind = "openai" if "chat/completions" in request.url.path else "anthropic"
        if b'"stream":true' in request.content:
            return httpx2.Response(
                200, content=answers[f"{kind} stream"], headers={"content-type": "text/event-stream"}
            )
        whole = answers["openai chat" if kind == "openai" else "anthropic message"]
        return httpx2.Response(200, content=whole, headers={"content-type": "application/json"})

    transport = httpx2.MockTransport(answer)
    gpt: Any = openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=transport))
    claude: Any = anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport))
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}], "temperature": 0.2}
    asked = {**chat, "stream": True, "stream_options": {"include_usage": True}}
    message = {"model": "claude-haiku-4-5", "max_tokens": 400, "messages": chat["messages"]}
    turns = [{"role": role, "content": PROMPT * 2} for role in ("user", "assistant") * 5]
    long = {**chat, "messages": [*turns[1:], {"role": "user", "content": PROMPT * 2}]}

    def read(stream: Any) -> None:
        for _ in stream:
            pass

    return {
        "openai chat": lambda: gpt.chat.completions.create(**chat),
        "openai stream": lambda: read(gpt.chat.completions.create(**asked)),
        "anthropic message": lambda: claude.messages.create(**message),
        "anthropic stream": lambda: read(claude.messages.create(**message, stream=True)),
        "openai chat, 20 kB": lambda: gpt.chat.completions.create(**long),
    }


class Traced(NamedTuple):
    """A peer in this process."""

    switch: Callable[[bool], None]
    flush: Callable[[], object]
    scope: contextlib.AbstractContextManager[object]
    """What its calls run in."""


def instrument(peer: str) -> Traced:
    """Prepare a peer."""
    if peer in OURS:
        import _spanledger_boot
        import spanledger

        def switch(on: bool) -> None:
            (_spanledger_boot.switch_on if on else _spanledger_boot.switch_off)()

        tags = spanledger.tags(user_id="u-17", team_id="support", feature="search", session_id="s-9")
        return Traced(
            switch, lambda: spanledger.flush(30), contextlib.nullcontext() if "without tags" in peer else tags
        )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter(peer)))
    found = [instrumentor() for instrumentor in instrumentors(peer)]

    def switch_theirs(on: bool) -> None:
        for instrumentor in found:
            if on and not instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.instrument(tracer_provider=provider)
            elif not on and instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()

    return Traced(switch_theirs, provider.force_flush, contextlib.nullcontext())


def exporter(peer: str) -> Any:
    """Return where a peer's spans end."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    if "sending" in peer:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=f"{os.environ['SPANLEDGER_ENDPOINT']}/v1/traces")

    class Dropping(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    return Dropping()


def instrumentors(peer: str) -> tuple[Any, Any]:
    """Return a peer's two instrumentors."""
    if peer == "openinference":
        from openinference.instrumentation.anthropic import AnthropicInstrumentor
        from openinference.instrumentation.openai import OpenAIInstrumentor
    elif peer == "openllmetry":
        from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    else:
        from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    return OpenAIInstrumentor, AnthropicInstrumentor


def stay_on_a_core() -> None:
    """Keep a worker's threads on one core: where the kernel puts them differs from run to run, for all peers."""
    if hasattr(os, "sched_setaffinity") and not os.environ.get(UNPINNED):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def work(peer: str, always: bool | None) -> None:
    """Answer each line of stdin, the name of a case, with microseconds of CPU a call, plain and traced.

    With `always`, the peer is on or off from start to end, and both figures are of that.
    """
    stay_on_a_core()
    traced = instrument(peer)
    table = calls()
    gc.collect()
    gc.freeze()

    def measured(case: str, on: bool) -> float:
        traced.switch(on)
        gc.collect()  # so that each pays for its own garbage, and for none that the other left
        start = time.process_time_ns()
        for _ in range(CASES[case]):
            table[case]()
        if on:
            traced.flush()
        return (time.process_time_ns() - start) / 1000 / CASES[case]

    with traced.scope:
        for number, line in enumerate(sys.stdin):
            order = (False, True) if number % 2 else (True, False)
            taken = {on: measured(line.strip(), on if always is None else always) for on in order}
            print(taken[False], taken[True], flush=True)


# The parent: rounds and report


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Take spans in and forget them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # as collectors do, so that connections may be kept

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *_words: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


Pairs = list[tuple[float, float]]
"""Microseconds of CPU a call, plain and traced."""


def measure(peers: list[str], rounds: int, starts: int) -> dict[str, dict[str, Pairs]]:
    """Return what was measured, by peer and case, an element a round."""
    found: dict[str, dict[str, Pairs]] = {peer: {case: [] for case in CASES} for peer in peers}
    with collector() as url, tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "ANTHROPIC_OPEN_TELEMETRY": "false",
            "SPANLEDGER_ENDPOINT": url,
            "SPANLEDGER_HOME": home,
        }
        environment.pop("SPANLEDGER_ENABLED", None)
        for _ in range(starts):
            run(found, environment, rounds)
    return found


def settings_of(peer: str, environment: dict[str, str]) -> dict[str, str]:
    """Return the settings of a peer; a policy is written where one is wanted."""
    settings = dict(OURS.get(peer, {}))
    if store := settings.get("SPANLEDGER_POLICY"):
        path = Path(environment["SPANLEDGER_HOME"]) / f"{store}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'store = "{store}"\n{POLICY}')
        settings["SPANLEDGER_POLICY"] = str(path)
    return settings


def run(found: dict[str, dict[str, Pairs]], environment: dict[str, str], rounds: int) -> None:
    """Start every peer, and measure the rounds."""
    with contextlib.ExitStack() as stack:
        workers = {
            peer: [
                stack.enter_context(start_worker(peer, always, environment | settings_of(peer, environment)))
                for always in ((False, True) if peer in NEVER_RESTORED else (None,))
            ]
            for peer in found
        }
        for number in range(rounds + 2):
            for case in CASES:
                for peer, processes in workers.items():
                    answers = [ask(process, case) for process in processes]
                    taken = answers[0][0], answers[-1][1]
                    if number >= 2:  # the first rounds warm everything up
                        found[peer][case].append(taken)


@contextlib.contextmanager
def start_worker(peer: str, always: bool | None, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a peer's process."""
    python = sys.executable if peer in OURS else python_of(peer.partition(",")[0])
    command = [python, __file__, "--worker", peer]
    if always is not None:
        command += ["--always", "on" if always else "off"]
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        if process.stdin is not None:
            process.stdin.close()


def ask(worker: subprocess.Popen[str], case: str) -> tuple[float, float]:
    """Have a worker run a case once."""
    if worker.stdin is None or worker.stdout is None:
        raise SystemExit("a worker without pipes")
    worker.stdin.write(case + "\n")
    worker.stdin.flush()
    plain, traced = worker.stdout.readline().split()
    return float(plain), float(traced)


def report(found: dict[str, dict[str, Pairs]], starts: int) -> dict[str, object]:
    """Return what is printed: added is the median of what a traced run takes above the plain one beside it."""
    added = {
        peer: {
            case: round(statistics.median(traced - plain for plain, traced in taken), 1)
            for case, taken in cases.items()
        }
        for peer, cases in found.items()
    }
    load = os.getloadavg()
    return {
        "plain_us_per_call": {
            case: round(statistics.median(plain for cases in found.values() for plain, _ in cases[case]), 1)
            for case in CASES
        },
        "added_us_per_call": added,
        "spanledger_to_peer": beside(added, "spanledger"),
        **({"with_a_budget_to_peer": beside(added, BUDGETED)} if BUDGETED in added else {}),
        "starts": starts,
        "rounds": len(next(iter(found["spanledger"].values()))),
        "calls_per_round": CASES,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("openai", "anthropic", "httpx2", "opentelemetry-sdk")},
        "pinned_to_a_core": not os.environ.get(UNPINNED),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": [round(one, 1) for one in load],
    }


def beside(added: dict[str, dict[str, float]], ours: str) -> dict[str, dict[str, float | None]]:
    """Return what one of ours adds as a share of what each peer adds."""
    return {
        peer: {case: round(added[ours][case] / cost, 3) if cost > 0 else None for case, cost in cases.items()}
        for peer, cases in added.items()
        if peer not in OURS
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each start")
    parser.add_argument("--starts", type=int, default=3, help="of each peer's process")
    parser.add_argument("--peers", default=",".join([*PEERS, "otel/sending"]))
    parser.add_argument("--features", action="store_true", help="measure our own features instead of peers")
    parser.add_argument("--unpinned", action="store_true", help="let the threads of a process move between cores")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--always", choices=("on", "off"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, None if options.always is None else options.always == "on")
        return
    if options.unpinned:
        os.environ[UNPINNED] = "1"
    peers = [peer.replace("/", ", ") for peer in options.peers.split(",") if peer]
    compared = list(OURS) if options.features else ["spanledger", BUDGETED, *peers]
    told = report(measure(compared, options.rounds, options.starts), options.starts)
    print(f"evidence: {json.dumps(told)}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
