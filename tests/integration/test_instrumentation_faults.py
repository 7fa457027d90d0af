"""Whatever goes wrong on our side, the application gets exactly what the SDK gives."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from application import environment, run_script
from old_server import OldServer
from otlp_sink import OtlpSink
from patience import PATIENT
from spanledger import (
    account,
    begin,
    bodies,
    call,
    cost,
    delivery,
    faults,
    ledger,
    otlp,
    record,
    settings,
    spans,
    spool,
    stream,
    tagging,
    tracing,
    transport,
)
from spanledger.sdks import openai_sdk
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on
from waiting import wait_until

CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES}


class Broken(Exception):
    """A fault of ours."""


def _break(*_anything: object, **_more: object) -> Any:
    raise Broken("injected")


def _run_out_of_memory(*_anything: object, **_more: object) -> Any:
    raise MemoryError


class NoContext:
    """A context variable as it is in a context that is gone."""

    def get(self) -> Any:
        raise LookupError("no value")


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def fresh_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process start without a fault: each kind is logged once in its life."""
    monkeypatch.setattr(faults, "_counts", Counter())
    monkeypatch.setattr(faults, "_told", Counter())


def _no_thread(plain: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start(thread: threading.Thread) -> None:
        if thread.name == "spanledger":
            raise RuntimeError("can't start new thread")
        plain(thread)

    return start


def _no_module(name: str) -> Callable[..., Any]:
    plain = importlib.import_module

    def import_module(wanted: str, package: str | None = None) -> Any:
        if wanted == name:
            raise ImportError(f"injected: {name}")
        return plain(wanted, package)

    return import_module


SEAMS = [
    # owner, name, what stands there instead
    pytest.param(call.Call, "__init__", _break, id="beginning a call"),
    pytest.param(call.Call, "adopt", _break, id="asking for usage"),
    pytest.param(call.Call, "record", _break, id="making the record"),
    pytest.param(call.Call, "_usage", _break, id="counting"),
    pytest.param(call.Call, "remember", _break, id="holding a stream"),
    pytest.param(call, "place_below", _break, id="finding the parent"),
    pytest.param(begin, "server_attributes", _break, id="reading the client"),
    pytest.param(call, "attempt_event", _break, id="describing an attempt"),
    pytest.param(openai_sdk, "snapshot", _break, id="reading the response"),
    pytest.param(stream, "watch", _break, id="watching a stream"),
    pytest.param(bodies, "read_json", _break, id="reading a raw response"),
    pytest.param(stream, "weakref", _break, id="noticing an abandoned stream"),
    pytest.param(tagging, "current", NoContext(), id="context of the tags"),
    pytest.param(spans, "current", NoContext(), id="context of the steps"),
    pytest.param(call, "perf_counter_ns", _break, id="clock that measures"),
    pytest.param(call, "time_ns", _break, id="clock that tells the time"),
    pytest.param(ledger, "start", _break, id="starting"),
    pytest.param(ledger, "load", _break, id="reading the settings"),
    pytest.param(ledger, "add", _break, id="handing over"),
    pytest.param(ledger.Worker, "add", _run_out_of_memory, id="memory for the queue"),
    pytest.param(ledger.Worker, "_take", _break, id="taking from the queue"),
    pytest.param(threading.Thread, "start", _no_thread(threading.Thread.start), id="starting the thread"),
    pytest.param(importlib, "import_module", _no_module(".tracing"), id="importing what encodes"),
    pytest.param(importlib, "import_module", _no_module(".delivery"), id="importing what sends"),
    pytest.param(tracing, "current_book", _break, id="loading the price book"),
    pytest.param(cost, "price", _break, id="pricing"),
    pytest.param(tracing, "encode_span", _break, id="encoding a span"),
    pytest.param(tracing, "encode_request", _break, id="encoding a batch"),
    pytest.param(delivery, "connect", _break, id="connecting"),
    pytest.param(transport._Http, "send", _break, id="sending"),
    pytest.param(spool.Spool, "has_any", _break, id="looking into the spool"),
    pytest.param(spool.Spool, "oldest_first", _break, id="reading the spool"),
    pytest.param(account, "_write", _break, id="telling the faults"),
]


@pytest.mark.usefixtures("fresh_counts")
@pytest.mark.parametrize(("owner", "name", "instead"), SEAMS)
def test_a_fault_at_any_seam_leaves_the_application_alone_and_is_told_once(
    owner: object,
    name: str,
    instead: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(owner, name, instead)
            answers = [client.chat.completions.create(**CHAT) for _ in range(2)]
            chunks = list(client.chat.completions.create(**CHAT, stream=True))
            raw = client.chat.completions.with_raw_response.create(**CHAT)
            with client.chat.completions.with_streaming_response.create(**CHAT) as response:
                body = response.json()
            provider.plan(Plan(status=429))
            with pytest.raises(openai.RateLimitError, match="the local provider was told to fail") as raised:
                client.with_options(max_retries=0).chat.completions.create(**CHAT)
            if name == "_write":
                faults.report("something for the account", "injected")
            spanledger.flush(5)
        later = client.chat.completions.create(**CHAT)
        # Each failed attempt doubles the pause, up to half a minute.
        wait_until(lambda: later.id in _response_ids(traced), timeout_s=100, what="a later call")

    assert all(answer.choices[0].message.content for answer in answers)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert raw.parse().choices
    assert isinstance(body, dict)
    assert raised.value.__context__ is None or "spanledger" not in repr(raised.value.__context__)
    words = [line.getMessage() for line in caplog.records if line.name == "spanledger"]
    assert len(words) == len(set(words)) >= 1
    assert {fault.kind: fault.count for fault in account.read(tmp_path)} == faults.counts()


def _response_ids(traced: Traced) -> list[str]:
    return [span["attributes"].get("gen_ai.response.id", "") for span in traced.sink.spans()]


@pytest.mark.usefixtures("fresh_counts")
def test_a_fault_in_the_spool_while_the_collector_is_away_leaves_the_application_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI
) -> None:
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        traced.sink.status = 503
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(spool.Spool, "_write", _break)
            first = client.chat.completions.create(**CHAT)
            assert not spanledger.flush(5)
        traced.sink.status = 200
        later = client.chat.completions.create(**CHAT)
        wait_until(lambda: {first.id, later.id} <= set(_response_ids(traced)), timeout_s=100, what="both calls")

    assert {fault.kind for fault in account.read(tmp_path)} == set(faults.counts()) != set()


@pytest.mark.usefixtures("fresh_counts")
def test_a_logger_that_raises_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI
) -> None:
    faults.LOGGER.addFilter(_break)
    try:
        with switched_on(monkeypatch, tmp_path, faultless=False), pytest.MonkeyPatch.context() as broken:
            broken.setattr(call.Call, "__init__", _break)
            assert client.chat.completions.create(**CHAT).choices
    finally:
        faults.LOGGER.removeFilter(_break)

    assert faults.counts() == {"openai call not recorded: Broken": 1, "fault could not be logged": 1}


@pytest.mark.usefixtures("fresh_counts")
def test_a_signal_handler_that_calls_a_model_during_the_first_call_is_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI
) -> None:
    plain, answers = settings.load, []

    def load() -> Any:
        answers.append(client.chat.completions.create(**CHAT))  # as a handler would, on this very thread
        return plain()

    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        monkeypatch.setattr(ledger, "load", load)
        first = threading.Thread(target=lambda: answers.append(client.chat.completions.create(**CHAT)), daemon=True)
        first.start()
        first.join(100)
        assert not first.is_alive()
        monkeypatch.setattr(ledger, "load", plain)
        ids = [span["attributes"]["gen_ai.response.id"] for span in traced.spans()]

    assert len(answers) == 2
    assert ids == [answers[1].id]
    assert faults.counts() == {"calls lost from the ledger: made by a signal handler during the first": 1}


def test_an_application_that_patches_the_sdk_itself_is_recorded_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI
) -> None:
    """Over our wrapper, and over the method of one client, as other libraries do."""
    plain = openai._base_client.SyncAPIClient.request
    seen = []

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append("class")
        return plain(self, *args, **kwargs)

    with switched_on(monkeypatch, tmp_path) as traced, pytest.MonkeyPatch.context() as patched:
        patched.setattr(openai._base_client.SyncAPIClient, "request", request)
        of_client = client.request

        def request_of_client(*args: Any, **kwargs: Any) -> Any:
            seen.append("client")
            return of_client(*args, **kwargs)

        patched.setattr(client, "request", request_of_client)
        answer = client.chat.completions.create(**CHAT)
        assert traced.span()["attributes"]["gen_ai.response.id"] == answer.id

    assert seen == ["client", "class"]


def test_doctor_shows_the_faults_of_processes_that_are_gone(provider: LocalProvider, tmp_path: Path) -> None:
    code = """
from spanledger import call
def broken(*_):
    raise OSError("injected")
call.Call.record = broken
call()
call()
""".replace("call()", "ask()")
    script = f"{PATIENT}ask = call\n{code}"
    for _ in range(2):
        ran = run_script(script, provider, "http://127.0.0.1:9", tmp_path)
        assert ran.returncode == 0
    doctor = subprocess.run(
        [sys.executable, "-m", "spanledger_cli", "doctor", "--format", "json"],
        env=environment("http://127.0.0.1:9", tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (found,) = (finding for finding in json.loads(doctor.stdout) if finding["check"] == "faults")

    assert found["state"] == "warn"
    kind, _, rest = found["detail"].partition(" (")
    assert kind == "call lost from the ledger, it cannot be encoded: OSError"
    assert re.fullmatch(r"4x, last \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\)", rest)


@pytest.mark.parametrize(
    "last_act",
    [
        pytest.param("class Last:\n    def __del__(self):\n        ask()\nlast = Last()", id="a finaliser"),
        pytest.param("stream = ask(stream=True)\nnext(stream)", id="a stream that is held"),
        pytest.param(
            "import threading\nthreading.Thread(target=lambda: [ask() for _ in range(50)], daemon=True).start()",
            id="a thread that is cut off",
        ),
    ],
)
def test_the_end_of_the_interpreter_is_as_quiet_as_without_us(
    last_act: str, provider: LocalProvider, tmp_path: Path
) -> None:
    script = f"{PATIENT}ask = call\nask()\n{last_act}\nprint('done')\n"
    with OtlpSink() as sink:
        ran = run_script(script, provider, sink.url, tmp_path)
        without = run_script(script, provider, sink.url, tmp_path, SPANLEDGER_ENABLED="0")
        ids = [span["span_id"] for span in sink.spans()]

    assert (ran.returncode, ran.stdout) == (without.returncode, without.stdout) == (0, "done\n")
    assert "spanledger" not in ran.stderr
    assert len(ids) == len(set(ids)) >= 1


def test_a_server_that_refuses_our_addition_is_asked_again_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        switched_on(monkeypatch, tmp_path) as traced,
        OldServer() as server,
        openai.OpenAI(base_url=server.url, api_key="none") as client,
    ):
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        attributes = traced.attributes()

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Bonjour"]
    assert ["stream_options" in request for request in server.requests] == [True, False]
    assert (attributes["spanledger.usage.state"], attributes["spanledger.attempts"]) == ("estimated", 2)


def test_a_record_that_cannot_be_encoded_does_not_take_its_batch_along(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = otlp.encode_span

    def encode(made: record.Record, more: record.Attributes) -> Any:
        return _break() if made.name == "broken" else plain(made, more)

    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        monkeypatch.setattr(tracing, "encode_span", encode)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        for name in ("before", "broken", "after"):
            with spanledger.span(name, kind="step"):
                pass
        spans = traced.spans()

    assert [span["name"] for span in spans] == ["before", "after"]


def test_a_fault_is_logged_once_however_often_it_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(faults, "_counts", Counter())
    with switched_on(monkeypatch, tmp_path, faultless=False), pytest.MonkeyPatch.context() as broken:
        broken.setattr(call.Call, "record", _break)
        for _ in range(3):
            client.chat.completions.create(**CHAT)
        spanledger.flush()

    assert faults.counts() == {"call lost from the ledger, it cannot be encoded: Broken": 3}
    assert [record.message for record in caplog.records if record.name == "spanledger"] == [
        "call lost from the ledger, it cannot be encoded: injected (reported once; the application is not affected)"
    ]


def test_settings_that_cannot_be_read_switch_off_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: openai.OpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    with switched_on(monkeypatch, tmp_path):
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
        for _ in range(2):
            assert client.chat.completions.create(**CHAT).choices

    assert capsys.readouterr().err == (
        "spanledger: switched off: OTEL_BSP_SCHEDULE_DELAY = 'soon': expected a whole number above 0\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SPANLEDGER_ENDPOINT", "nonsense", "expected http://host:port or https://host:port"),
        ("SPANLEDGER_ENDPOINT", "http://", "expected http://host:port or https://host:port"),
        ("SPANLEDGER_ENDPOINT", "http://a:99999", "expected http://host:port or https://host:port"),
        ("SPANLEDGER_ENDPOINT", "http://a:port", "expected http://host:port or https://host:port"),
        ("SPANLEDGER_PROTOCOL", "json", "expected http/protobuf or grpc"),
        ("SPANLEDGER_HEADERS", "abc", "expected key=value,key=value"),
        ("SPANLEDGER_FEATURES", "lots", "expected none, hash or sketch"),
    ],
)
def test_a_wrong_setting_is_one_line_and_no_traceback(
    name: str, value: str, words: str, provider: LocalProvider, tmp_path: Path
) -> None:
    done = run_script("print(len(call().choices))", provider, "http://127.0.0.1:1", tmp_path / "home", **{name: value})
    told = [line for line in done.stderr.splitlines() if not line.startswith("calls lost from the ledger: no way")]
    assert (done.returncode, done.stdout, told) == (
        0,
        "1\n",
        [f"spanledger: switched off: {name} = {value!r}: {words}"],
    )
