"""`spanledger import`: histories in files become rows, once, whatever is damaged between them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent_bodies import CLAUDE_REQUEST, claude
from certificates import authority, signed
from collector_process import collecting, span_ids
from otlp_bodies import request, span
from spanledger_collector.bodies import read_body
from spanledger_collector.dead import dead_dir, letters
from spanledger_collector.json_messages import document_of

DAY_NS = 86_400 * 10**9
KILLED = """
import os, sys
from spanledger_cli import main
from spanledger_collector import delivery, history

sound = history.Importer._send
sent = []

def send(importer, signal):
    if len(sent) == 3:
        os.kill(os.getpid(), 9)
    sent.append(sound(importer, signal))

delivery._Log.most_bytes = 2000
history.Importer._send = send
main(sys.argv[1:])
"""


def body(*numbers: int, days: float = 0) -> bytes:
    start_ns = time.time_ns() + int(days * DAY_NS)
    times = {"start_time_unix_nano": start_ns, "end_time_unix_nano": start_ns + 10**9}
    return request(*(span({"user.id": "ann"}, number=number, **times) for number in numbers))


def in_json(data: bytes) -> bytes:
    return json.dumps(document_of(next(read_body(data)).request)).encode() + b"\n"


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "spanledger_cli", "import", *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, input=stdin, timeout=120, check=False)
    return subprocess.CompletedProcess(argv, done.returncode, done.stdout.decode(), done.stderr.decode())


def ids(*numbers: int) -> list[str]:
    return [f"{0xBB00 + number:016x}" for number in numbers]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the file exporter leaves it, with 30 spans in three forms."""
    folder = tmp_path / "export"
    (folder / "below").mkdir(parents=True)
    (folder / "traces.json").write_bytes(b"".join(in_json(body(number)) for number in range(1, 11)))
    (folder / "below" / "traces.proto").write_bytes(
        b"".join(len(one).to_bytes(4, "big") + one for one in (body(*range(11, 16)), body(*range(16, 21))))
    )
    (folder / "below" / "traces.json.gz").write_bytes(gzip.compress(in_json(body(*range(21, 31)))))
    (folder / ".hidden").write_bytes(b"not looked at")
    return folder


def test_a_folder_is_taken_once_however_often_it_is_imported(folder: Path, tmp_path: Path) -> None:
    flags = ("--home", tmp_path / "home", "--lake", tmp_path / "lake")
    for _ in range(2):
        done = run(folder, *flags)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert "spanledger: 30 spans from 13 bodies in 3 files\n" in done.stderr
        assert sorted(span_ids(tmp_path / "lake")) == ids(*range(1, 31))
    assert list((tmp_path / "home" / "wal").glob("*.wal*")) == []


def test_through_a_running_collector(folder: Path, tmp_path: Path) -> None:
    with collecting(tmp_path) as collector:
        done = run(folder, "--home", collector.home, "--lake", collector.lake)
        assert done.returncode == 0, done.stderr
        collector.wait_for_commit()
        assert sorted(span_ids(collector.lake)) == ids(*range(1, 31))


def test_through_a_collector_that_asks_for_a_token_over_tls(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("# of the test\nan-example-of-a-token\n")
    pair = signed(tmp_path, "collector", authority(tmp_path, "authority"))
    with monkeypatch.context() as environment:
        environment.setenv("SPANLEDGER_TOKEN_FILE", str(tokens))
        environment.setenv("SPANLEDGER_TLS_CERT", str(pair.cert))
        environment.setenv("SPANLEDGER_TLS_KEY", str(pair.key))
        environment.setenv("SPANLEDGER_MAX_BODY_BYTES", "2000")
        starting = collecting(tmp_path)
        collector = starting.__enter__()
    try:
        done = run(folder, "--home", collector.home, "--lake", collector.lake)
        assert done.returncode == 0, done.stderr
        collector.wait_for_commit()
        assert sorted(span_ids(collector.lake)) == ids(*range(1, 31))
    finally:
        starting.__exit__(None, None, None)


def test_from_standard_input(tmp_path: Path) -> None:
    done = run("-", "--home", tmp_path / "home", "--lake", tmp_path / "lake", stdin=gzip.compress(in_json(body(1, 2))))
    assert (done.returncode, sorted(span_ids(tmp_path / "lake"))) == (0, ids(1, 2))


def test_log_events_of_coding_agents_become_rows(tmp_path: Path) -> None:
    events = claude(CLAUDE_REQUEST)
    file = tmp_path / "logs.json"
    file.write_bytes(json.dumps(document_of(events)).encode() + b"\n" + in_json(body(1)))
    done = run(file, "--home", tmp_path / "home", "--lake", tmp_path / "lake")
    assert (done.returncode, len(span_ids(tmp_path / "lake"))) == (0, 2), done.stderr
    assert "1 spans, 1 log records from 2 bodies in 1 files" in done.stderr


def test_log_events_go_through_a_running_collector_as_log_events(tmp_path: Path) -> None:
    file = tmp_path / "logs.proto"
    file.write_bytes(claude(CLAUDE_REQUEST).SerializeToString())
    with collecting(tmp_path) as collector:
        done = run(file, "--home", collector.home, "--lake", collector.lake)
        assert done.returncode == 0, done.stderr
        collector.wait_for_commit()
        assert len(span_ids(collector.lake)) == 1


def test_what_is_damaged_is_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    one = tmp_path / "one.json"
    one.write_bytes(in_json(body(1)) + b"{broken}\n" + b'{"resourceSpans": 7}\n' + in_json(body(2)))
    other = tmp_path / "other.proto"
    other.write_bytes(body(3)[:-1])
    nothing = tmp_path / "nothing.json"
    done = run(one, other, nothing, "--home", tmp_path / "home", "--lake", tmp_path / "lake")
    assert done.returncode == 1
    assert sorted(span_ids(tmp_path / "lake")) == ids(1, 2)
    assert f"{one}: line 2: not valid JSON" in done.stderr
    assert f"{one}: line 3: `resourceSpans` of a ExportTraceServiceRequest can't be read" in done.stderr
    assert f"{other}: byte 0: " in done.stderr
    assert f"{nothing}: No such file or directory" in done.stderr
    assert "2 spans from 2 bodies in 2 files\nspanledger:   4 places could not be read\n" in done.stderr


def test_the_summary_says_what_does_not_become_rows(tmp_path: Path) -> None:
    file = tmp_path / "spans.proto"
    bodies = (body(1), body(2, 3, days=-500), body(4, days=3), request(span(span_id=b"short")))
    file.write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in bodies))
    home = tmp_path / "home"
    done = run(file, "--home", home, "--lake", tmp_path / "lake")
    assert (done.returncode, span_ids(tmp_path / "lake")) == (1, ids(1))
    assert "2 spans are dated more than 400 days ago" in done.stderr
    assert "1 spans are dated more than a day ahead" in done.stderr
    assert "1 spans have no valid trace or span id" in done.stderr
    assert sum(letter.items for letter in letters(dead_dir(home))) == 4


def test_large_bodies_are_cut_and_small_ones_joined(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    many = [span({"text": "x" * 4000}, number=number, start_time_unix_nano=time.time_ns()) for number in range(1, 8001)]
    file.write_bytes(in_json(request(*many)))
    with collecting(tmp_path) as collector:  # whose door takes no more than 20 MiB at once
        assert run(file, "--home", collector.home, "--lake", collector.lake).returncode == 0
        collector.wait_for_commit()
        assert len(span_ids(collector.lake)) == 8000


def test_being_killed_half_way_and_beginning_again_takes_everything_once(tmp_path: Path) -> None:
    file = tmp_path / "spans.json"
    file.write_bytes(b"".join(in_json(body(number)) for number in range(1, 101)))
    flags = ("--home", str(tmp_path / "home"), "--lake", str(tmp_path / "lake"))
    died = subprocess.run([sys.executable, "-c", KILLED, "import", str(file), *flags], check=False, timeout=120)
    assert died.returncode == -9
    assert run(file, *flags).returncode == 0
    assert sorted(span_ids(tmp_path / "lake")) == ids(*range(1, 101))
