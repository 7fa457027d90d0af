"""Where answers are kept: for how long, how many, by whom; the same of a file and of a Redis."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_server import RedisServer, serving
from spanledger import faults
from spanledger.guard.cache.answers import Answers, Bound, Kept, SqliteAnswers
from spanledger.guard.cache.entry import MOST_BYTES, Entry, pack, unpack

NOW = 1_790_000_000_000
BOUND = Bound("faq", 1000, 10)
HOUR = 3_600_000


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with serving(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def answers(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setattr("spanledger.guard.cache.answers._BUSY_S", 60.0)  # a busy machine is no miss
    made = _make(request, tmp_path)
    yield made
    made.close()


def _make(request: pytest.FixtureRequest, folder: Path) -> Answers:
    if request.param == "sqlite":
        return SqliteAnswers(folder / "home" / "answers.sqlite3")
    from spanledger.guard.cache.redis_answers import RedisAnswers

    return RedisAnswers(request.getfixturevalue("redis").url, prefix=str(folder), timeout_s=60)


def _put(answers: Answers, *keys: str, size: int = 100, at_ms: int = NOW, bound: Bound = BOUND) -> None:
    for offset, key in enumerate(keys):
        answers.put(key.encode(), b"x" * size, at_ms + offset + HOUR, at_ms + offset, bound)


def _left(answers: Answers, keys: str, at_ms: int = NOW) -> str:
    return "".join(key for key in keys if answers.get(key.encode(), at_ms) is not None)


def test_what_was_kept_is_found_under_its_key(answers: Answers) -> None:
    data = bytes(range(256))
    answers.put(b"\x00key\xff", data, NOW + HOUR, NOW, BOUND)
    assert answers.get(b"\x00key\xff", NOW) == Kept(data, None)
    answers.set_avoids(b"\x00key\xff", 10**15)
    assert answers.get(b"\x00key\xff", NOW) == Kept(data, 10**15)
    answers.set_avoids(b"\x00key\xff", None)
    assert answers.get(b"\x00key\xff", NOW) == Kept(data, None)
    answers.set_avoids(b"nobody", 1)
    assert answers.get(b"nobody", NOW) is None


def test_a_newer_answer_takes_the_place_of_an_older(answers: Answers) -> None:
    for data in (b"old", b"new"):
        answers.put(b"key", data, NOW + HOUR, NOW, Bound("faq", 5, 1))
    assert answers.get(b"key", NOW) == Kept(b"new", None)


def test_beyond_its_bytes_a_rule_loses_what_was_not_used_for_longest(answers: Answers) -> None:
    _put(answers, *"abcdefghij")
    assert answers.get(b"a", NOW + 120_000) is not None
    _put(answers, "k", at_ms=NOW + 120_001)
    left = _left(answers, "abcdefghijk", NOW + 120_002)
    assert left in ("acdefghijk", "adefghijk")
    assert len(left) * 100 <= BOUND.bytes


def test_beyond_its_entries_a_rule_loses_what_was_not_used_for_longest(answers: Answers) -> None:
    _put(answers, *"abcdefghijkl", size=1)
    left = _left(answers, "abcdefghijkl")
    assert left.endswith("jkl")
    assert "a" not in left
    assert len(left) <= BOUND.entries


def test_rules_have_a_bound_each_and_what_is_larger_is_not_kept(answers: Answers) -> None:
    _put(answers, *"abcdefghij")
    _put(answers, *"123456789", bound=Bound("search", 900, 10))
    _put(answers, "!", size=1001)
    assert _left(answers, "abcdefghij123456789!") == "abcdefghij123456789"


def test_answers_outlive_who_kept_them(answers: Answers) -> None:
    _put(answers, "a")
    answers.close()
    assert _left(answers, "a") == "a"


def test_a_forked_process_has_a_connection_of_its_own(answers: Answers) -> None:
    _put(answers, "a")
    child = os.fork()
    if child == 0:
        _put(answers, "b")
        os._exit(0 if _left(answers, "ab") == "ab" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert _left(answers, "ab") == "ab"


def test_threads_keep_and_find_at_the_same_time(answers: Answers) -> None:
    bound = Bound("faq", 10**6, 10**4)

    def work(name: str) -> None:
        for number in range(50):
            _put(answers, f"{name}{number}", bound=bound)
            assert answers.get(f"{name}{number}".encode(), NOW) is not None

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (
        sum(answers.get(f"{name}{number}".encode(), NOW) is not None for name in "abcd" for number in range(50)) == 200
    )


def test_in_a_file_an_answer_is_gone_when_its_time_is_over(tmp_path: Path) -> None:
    answers = SqliteAnswers(tmp_path / "answers.sqlite3")
    _put(answers, "a")
    assert [_left(answers, "a", NOW + HOUR - 1), _left(answers, "a", NOW + HOUR)] == ["a", ""]
    _put(answers, *"bcdefghijk", at_ms=NOW + 2 * HOUR)
    assert _left(answers, "bcdefghijk", NOW + 2 * HOUR) == "bcdefghijk"  # what is over goes first
    answers.close()


def test_redis_ends_an_answers_time_itself(redis: RedisServer) -> None:
    from redis import Redis

    from spanledger.guard.cache.redis_answers import RedisAnswers

    answers = RedisAnswers(redis.url, prefix="ending", timeout_s=60)
    _put(answers, "a")
    answers.put(b"b", b"x", NOW - 1, NOW, BOUND)
    with Redis.from_url(redis.url) as client:
        left_ms = client.pttl(b"{ending}:answers:a")
        assert client.exists(b"{ending}:answers:b") == 0
    assert HOUR - 60_000 < left_ms <= HOUR
    answers.close()


def test_a_redis_that_is_away_has_nothing_and_is_left_alone(tmp_path: Path) -> None:
    from spanledger.guard.cache.redis_answers import RedisAnswers

    answers = RedisAnswers(f"unix://{tmp_path}/nobody")
    before = faults.counts().get("answers in Redis can't be reached, calls are made: ConnectionError", 0)
    _put(answers, "a")
    for _ in range(20):
        assert answers.get(b"a", NOW) is None
    after = faults.counts()["answers in Redis can't be reached, calls are made: ConnectionError"]
    assert after - before == 1
    answers.close()


def test_the_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    answers, before = SqliteAnswers(tmp_path / "answers.sqlite3"), os.umask(0)
    try:
        _put(answers, "a")
    finally:
        os.umask(before)
    modes = {
        path.name.removeprefix("answers.sqlite3"): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()
    }
    assert modes == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    answers.close()


def test_a_file_that_another_process_holds_is_a_miss_and_not_a_wait(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite3"
    answers = SqliteAnswers(path)
    _put(answers, "a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    _put(answers, "b")
    assert _left(answers, "ab") == "a"
    other.execute("rollback")
    other.close()
    _put(answers, "b")
    assert _left(answers, "ab") == "ab"
    answers.close()


@pytest.mark.parametrize("data", [b"", b"no zlib", pack(Entry(b"body", {}, 1))[:-1], b"\x78\x9c"])
def test_what_is_no_kept_answer_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no kept answer"):
        unpack(data)


def test_an_entry_comes_back_as_it_was_packed() -> None:
    entry = Entry(b'{"a":\n"\xc3\xa4"}\n\n', {"content-type": "application/json"}, NOW)
    assert unpack(pack(entry)) == entry
    with pytest.raises(ValueError, match="too large"):
        unpack(pack(Entry(b"x" * MOST_BYTES * 3, {}, NOW)))
