"""Every way a process starts others and ends: its calls arrive once, and its output and exit code are its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from application import CALL, billed_ids, environment, get, response_ids, run_script, running
from otlp_sink import OtlpSink
from patience import PATIENT
from ports import held_port
from spanledger.spool import backlog
from spanledger_cli.demo.provider import LocalProvider
from waiting import wait_until

SERVED = """
import os
from openai import AsyncOpenAI, OpenAI

ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
URL = os.environ["PROVIDER"] + "/v1"
{at_import}

def wsgi(environ, start_response):
    OpenAI(base_url=URL, api_key="none").chat.completions.create(**ASK)
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(os.getpid()).encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        {at_shutdown}
        await send({"type": "lifespan.shutdown.complete"})
        return
    async with AsyncOpenAI(base_url=URL, api_key="none") as client:
        await client.chat.completions.create(**ASK)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

{below}
"""
AT_IMPORT = 'OpenAI(base_url=URL, api_key="none").chat.completions.create(**ASK)  # before any worker is forked'
AT_LIFESPANS_END = "from spanledger.web import AsgiTags\nasgi = AsgiTags(asgi)"


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as sink:
        yield sink


@contextmanager
def _serving(
    argv: list[str],
    provider: LocalProvider,
    sink: OtlpSink,
    folder: Path,
    *,
    at_import: str = "",
    at_shutdown: str = "",
    below: str = "",
) -> Iterator[tuple[int, str]]:
    """Run a web server on the application above; gives its process id and address, and ends it as a manager would."""
    served = PATIENT + SERVED
    for place, code in (("at_import", at_import), ("at_shutdown", at_shutdown or "pass"), ("below", below)):
        served = served.replace(f"{{{place}}}", code)
    (folder / "served.py").write_text(served)
    # gunicorn leaves a control socket in HOME.
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "PROVIDER": provider.url, "HOME": str(folder)}
    with held_port() as port:
        argv = [sys.executable, "-m", *(word.replace("PORT", str(port)) for word in argv)]
        with running(argv, environment(sink.url, folder / "home", **slow), folder) as process:
            try:
                wait_until(lambda: _listens(port) or process.poll() is not None, timeout_s=100, what="the server")
                get(f"http://127.0.0.1:{port}/")
                yield process.pid, f"http://127.0.0.1:{port}/"
                process.send_signal(signal.SIGTERM)
                process.wait(100)
            finally:
                print((folder / "output").read_text())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _run(
    code: str, provider: LocalProvider, sink: OtlpSink, home: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script that has the time to deliver all at its end."""
    return run_script(PATIENT + code, provider, sink.url, home, **more)


def test_preloaded_gunicorn_workers_each_record_their_own_calls(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path
) -> None:
    argv = ["gunicorn", "--timeout", "120", "--preload", "-w", "3", "-b", "127.0.0.1:PORT", "served:wsgi"]
    with _serving(argv, provider, sink, tmp_path, at_import=AT_IMPORT) as (_, address):
        # Asked one after the other, a single worker may take them all.
        answered: list[str] = []
        deadline = time.monotonic() + 60
        with ThreadPoolExecutor(6) as asking:
            while len(set(answered)) < 2 and time.monotonic() < deadline:
                answered += asking.map(get, [address] * 12)

    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == len(answered) + 2
    assert len(set(answered)) > 1


def test_gunicorn_with_uvicorn_workers_records_every_call_when_spans_are_flushed_as_their_lifespan_ends(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path
) -> None:
    argv = ["gunicorn", "--timeout", "120", "--preload", "-w", "2", "-k", "uvicorn_worker.UvicornWorker"]
    code = {"at_import": AT_IMPORT, "below": AT_LIFESPANS_END}
    with _serving([*argv, "-b", "127.0.0.1:PORT", "served:asgi"], provider, sink, tmp_path, **code) as (_, address):
        for _ in range(6):
            get(address)

    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 8


@pytest.mark.parametrize(
    ("loop", "code"),
    [
        ("asyncio", {"at_shutdown": "__import__('spanledger').flush(60)"}),
        ("uvloop", {"below": AT_LIFESPANS_END}),
    ],
    ids=["asyncio, flushed by the application", "uvloop, by the middleware"],
)
def test_uvicorn_records_every_call_when_spans_are_flushed_as_its_lifespan_ends(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path, loop: str, code: dict[str, str]
) -> None:
    argv = ["uvicorn", "--loop", loop, "--port", "PORT", "--log-level", "warning", "served:asgi"]
    with _serving(argv, provider, sink, tmp_path, **code) as (_, address):
        for _ in range(3):
            get(address)

    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 4


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_calls_of_child_processes_are_recorded_once(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path, method: str
) -> None:
    code = f"""
import multiprocessing
if __name__ == "__main__":
    call()
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=call) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print([child.exitcode for child in children])
"""
    ran = _run(code, provider, sink, tmp_path, OTEL_BSP_SCHEDULE_DELAY="60000")

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "[0, 0]\n", "")
    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_executor_records_every_task(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path, method: str
) -> None:
    code = f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context({method!r})) as pool:
        print(len(list(pool.map(call, range(6)))))
"""
    ran = _run(code, provider, sink, tmp_path, OTEL_BSP_SCHEDULE_DELAY="60000")

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "6\n", "")
    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 6


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_that_kills_its_workers_when_the_results_are_in_loses_no_call(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path, method: str
) -> None:
    code = f"""
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(len(list(pool.imap_unordered(call, range(6)))))
"""
    ran = _run(code, provider, sink, tmp_path, OTEL_BSP_SCHEDULE_DELAY="60000")

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "6\n", "")
    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 6


@pytest.mark.parametrize("runner", ["asyncio.run", "uvloop.run"])
def test_tasks_of_an_event_loop_are_recorded(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path, runner: str
) -> None:
    code = f"""
import asyncio, uvloop
from openai import AsyncOpenAI

async def main():
    async with AsyncOpenAI(base_url=sys.argv[1] + "/v1", api_key="none") as client:
        ask = {{"model": "gpt-4o", "messages": [{{"role": "user", "content": "hi"}}]}}
        await asyncio.gather(*(client.chat.completions.create(**ask) for _ in range(5)), asyncio.to_thread(call))

{runner}(main())
"""
    ran = _run(code, provider, sink, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 6


def test_threads_that_outlive_the_main_one_are_recorded(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import threading
call()
main = threading.main_thread()
threading.Thread(target=lambda: (main.join(), call())).start()
"""
    ran = _run(code, provider, sink, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 2


def test_a_call_made_by_an_exit_handler_is_recorded(provider: LocalProvider, sink: OtlpSink, tmp_path: Path) -> None:
    code = """
import atexit
atexit.register(call)  # registered before ours, so it runs after ours
call()
"""
    ran = _run(code, provider, sink, tmp_path)
    again = _run("call()\n", provider, sink, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert again.returncode == 0
    assert response_ids(sink) == billed_ids(provider)
    assert len(provider.billed) == 3


@pytest.mark.parametrize(
    ("ending", "code", "last_line"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('enough')", 1, "enough"),
        ("raise ValueError('of the application')", 1, "ValueError: of the application"),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT); call()", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_script_ends_as_it_would_without_us(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path, ending: str, code: int, last_line: str
) -> None:
    # CPython forgets an unhandled interrupt where any thread imports a dataclass after it, as ours does at its start.
    script = f"import spanledger\ncall()\nspanledger.flush(60)\ncall()\nprint('said')\n{ending}\n"
    ran = _run(script, provider, sink, tmp_path)
    without = _run(script, provider, sink, tmp_path, SPANLEDGER_ENABLED="0")

    assert (ran.returncode, ran.stdout, ran.stderr) == (without.returncode, without.stdout, without.stderr)
    assert ran.returncode == code
    assert [*ran.stderr.splitlines(), ""][-2 if ran.stderr else 0] == last_line
    assert len(set(response_ids(sink))) == len(response_ids(sink)) == 2


def test_what_is_flushed_survives_an_exit_that_skips_pythons_own(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path
) -> None:
    code = "import os, spanledger\ncall()\nprint(spanledger.flush(60), flush=True)\nos._exit(4)\n"
    ran = _run(code, provider, sink, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (4, "True\n", "")
    assert response_ids(sink) == billed_ids(provider)


def test_a_call_that_comes_alone_is_sent_long_before_the_batch_delay_is_over(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path
) -> None:
    argv = [sys.executable, "-c", CALL + PATIENT + "call()\nsys.stdin.read()\n", provider.url]
    with running(argv, environment(sink.url, tmp_path, OTEL_BSP_SCHEDULE_DELAY="600000"), tmp_path) as process:
        wait_until(lambda: len(sink.spans()) == 1, timeout_s=100, what="the call at the collector")
        process.terminate()
        code = process.wait(60)

    assert code == -signal.SIGTERM
    assert response_ids(sink) == billed_ids(provider)


def test_a_second_interrupt_ends_the_wait_at_exit_and_leaves_the_span_in_the_spool(
    provider: LocalProvider, tmp_path: Path
) -> None:
    code = """
import os, signal, threading
from spanledger import ledger
plain = ledger.Worker.flush

def flush(worker, *limit, last=False):
    if last:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    return plain(worker, *limit, last=last)

ledger.Worker.flush = flush
call()
ledger._worker.ready.wait()
raise KeyboardInterrupt
"""
    with _hanging_collector() as endpoint:
        # Without the interrupt, the wait is longer than the test.
        forever = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        code = PATIENT.replace("60.0", "600.0") + code
        ran = run_script(code, provider, "otel", tmp_path, **forever)

    assert ran.returncode == -signal.SIGINT
    assert "Exception ignored" not in ran.stderr
    assert backlog(tmp_path / "spool").files == 1


@contextmanager
def _hanging_collector() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_children_of_a_hanging_collector_end_too_and_leave_their_calls_in_the_spool(
    provider: LocalProvider, tmp_path: Path
) -> None:
    code = """
import multiprocessing, os, time
if __name__ == "__main__":
    call()
    child = multiprocessing.get_context("spawn").Process(target=call)
    child.start()
    child.join(100)
    print(child.exitcode)
"""
    with _hanging_collector() as endpoint:
        ran = run_script(code, provider, endpoint, tmp_path)
    with OtlpSink() as sink:
        _run("call()\n", provider, sink, tmp_path)

    assert (ran.returncode, ran.stdout) == (0, "0\n")
    # An attempt may fail in the moment in which the process keeps what it still waits for: twice the same span.
    assert {*response_ids(sink)} == {*billed_ids(provider)}
    assert len({span["span_id"] for span in sink.spans()}) == len(provider.billed) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_does_not_inherit_the_lock_of_the_spool(
    provider: LocalProvider, sink: OtlpSink, tmp_path: Path
) -> None:
    code = """
import os
from pathlib import Path
from spanledger.locks import hold
path = Path(sys.argv[0] + ".lock")
ended, end = os.pipe()
with hold(path, 0) as held:
    child = os.fork()
    if child == 0:
        os.close(end)
        os.read(ended, 1)
        os._exit(0)
with hold(path, 0) as again:
    print(held, again)
os.close(end)
os.waitpid(child, 0)
"""
    ran = _run(code, provider, sink, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "True True\n", "")
