"""Tags and steps go along into threads, thread pools and tasks, and never into somebody else's work."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

import _spanledger_boot as switch
import spanledger
from spanledger import faults, spans, tagging, threads

CALLERS = 64
PLAIN = {"start": threading.Thread.start, "submit": ThreadPoolExecutor.submit}


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(switch, "on", True)
    yield
    tagging.end_use()
    assert {"start": threading.Thread.start, "submit": ThreadPoolExecutor.submit} == PLAIN


def _user() -> str | None:
    return tagging.current.get().get("user.id")


def _users() -> tuple[list[str | None], Callable[[], None]]:
    seen: list[str | None] = []
    return seen, lambda: seen.append(_user())


def test_a_thread_has_the_tags_of_who_started_it_and_keeps_them() -> None:
    seen, note = _users()
    go_on = threading.Event()

    def work() -> None:
        note()
        go_on.wait(20)
        note()

    with spanledger.tags(user_id="u"):
        thread = threading.Thread(target=work)
        thread.start()
    go_on.set()
    thread.join()

    assert (seen, _user()) == (["u", "u"], None)


def test_a_subclass_with_a_run_of_its_own_and_a_timer_have_them() -> None:
    seen, note = _users()

    class Worker(threading.Thread):
        def run(self) -> None:
            note()

    with spanledger.tags(user_id="u"):
        for thread in (Worker(), Worker(daemon=True), threading.Timer(0, note)):
            thread.start()
            thread.join()
            assert "run" not in vars(thread)

    assert seen == ["u", "u", "u"]


def test_a_thread_with_its_run_replaced_gets_it_back() -> None:
    seen, note = _users()
    thread = threading.Thread()
    thread.run = note  # type: ignore[method-assign]

    with spanledger.tags(user_id="u"):
        thread.start()
    thread.join()

    assert (seen, thread.run) == (["u"], note)


def test_who_shadows_run_by_its_function_still_can() -> None:
    """Sentry takes the function of `run` and calls it with the current thread."""
    seen, note = _users()

    thread = threading.Thread(target=note)
    with spanledger.tags(user_id="u"):
        shadow = threads._Run(tagging.current.get(), None, thread)
        function: Any = thread.run.__func__  # type: ignore[attr-defined]
        thread.run = lambda: function(thread)  # type: ignore[method-assign]
    assert function is shadow
    thread.start()
    thread.join()

    assert seen == ["u"]


def test_a_thread_that_is_started_twice_fails_as_ever() -> None:
    with spanledger.tags(user_id="u"):
        thread = threading.Thread()
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
    assert "run" not in vars(thread)


def test_a_thread_started_in_an_empty_context_has_no_tags() -> None:
    seen, note = _users()
    with spanledger.tags(user_id="u"):
        thread = threading.Thread(target=note)
        contextvars.Context().run(thread.start)
        thread.join()

    assert seen == [None]


def test_a_thread_that_is_over_holds_nothing() -> None:
    class Big:
        pass

    def start() -> tuple[weakref.ref[Any], weakref.ref[Any]]:
        held = Big()
        with spanledger.tags(user_id="u"):
            thread = threading.Thread(target=lambda kept: None, args=(held,))
            thread.start()
            thread.join()
        return weakref.ref(thread), weakref.ref(held)

    gc.disable()
    try:
        assert [found() for found in start()] == [None, None]
    finally:
        gc.enable()


def test_other_context_variables_stay_behind() -> None:
    own: contextvars.ContextVar[str] = contextvars.ContextVar("own", default="default")
    with spanledger.tags(user_id="u"), ThreadPoolExecutor(1) as pool:
        own.set("set")
        assert pool.submit(own.get).result() == "default"


def test_a_pool_has_each_submitters_tags_and_never_the_ones_before() -> None:
    with ThreadPoolExecutor(1) as pool:
        with spanledger.tags(user_id="first"):
            first = pool.submit(_user)
        with spanledger.tags(user_id="second"):
            second = [pool.submit(_user), *map(_done, pool.map(lambda _: _user(), range(2)))]
        nobody = pool.submit(_user)

        assert [future.result() for future in (first, *second, nobody)] == ["first", "second", "second", "second", None]


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def test_a_context_that_is_handed_over_wins() -> None:
    with spanledger.tags(user_id="handed over"):
        context = contextvars.copy_context()
    with spanledger.tags(user_id="submitter"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(context.run, _user).result() == "handed over"


def test_what_a_pool_runs_gets_its_arguments_and_its_exceptions_pass() -> None:
    def work(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    with spanledger.tags(user_id="u"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(work, 1, fn=2).result() == ((1,), {"fn": 2})
        assert isinstance(pool.submit(int, "x").exception(), ValueError)


def test_a_pool_forgets_what_it_has_done() -> None:
    class Step:
        pass

    def give_out(pool: ThreadPoolExecutor) -> weakref.ref[Any]:
        with spanledger.tags(user_id="u"):
            step = Step()
            pool.submit(lambda kept: None, step).result()
        return weakref.ref(step)

    with ThreadPoolExecutor(1) as pool:
        found = give_out(pool)
        pool.submit(int).result()  # the thread holds its last piece of work until the next
        gc.collect()
        assert found() is None


def test_a_pool_of_processes_is_left_alone() -> None:
    with spanledger.tags(user_id="u"), ProcessPoolExecutor(1) as pool:
        assert pool.submit(abs, -1).result() == 1


def test_the_innermost_step_goes_along() -> None:
    held = object()
    token = spans.current.set(held)  # type: ignore[arg-type]
    try:
        tagging.begin_use()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(spans.current.get).result() is held
    finally:
        spans.current.reset(token)


def test_asyncio_hands_them_to_threads_and_tasks() -> None:
    async def main() -> list[str | None]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool, spanledger.tags(user_id="u"):
            inside = [
                await loop.run_in_executor(None, _user),
                await loop.run_in_executor(pool, _user),
                await asyncio.to_thread(_user),
                await asyncio.create_task(_coroutine()),
            ]
        return [*inside, await loop.run_in_executor(None, _user)]

    async def _coroutine() -> str | None:
        return _user()

    assert asyncio.run(main()) == ["u", "u", "u", "u", None]


def test_many_threads_and_one_pool_never_cross_tags() -> None:
    wrong: list[object] = []
    with ThreadPoolExecutor(8) as pool:

        def work(caller: str) -> None:
            for number in range(20):
                with spanledger.tags(user_id=f"{caller}/{number}"):
                    inner = threading.Thread(target=lambda expected=f"{caller}/{number}": check(expected))
                    inner.start()
                    found = pool.submit(_user).result()
                    inner.join()
                    if found != f"{caller}/{number}":
                        wrong.append(found)
                if pool.submit(_user).result() is not None:
                    wrong.append(caller)

        def check(expected: str) -> None:
            if _user() != expected:
                wrong.append((expected, _user()))

        callers = [threading.Thread(target=work, args=(str(number),)) for number in range(CALLERS)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()

    assert wrong == []


def test_nothing_is_wrapped_before_the_first_tags_and_all_is_restored_after() -> None:
    assert threading.Thread.start is PLAIN["start"]
    with spanledger.tags(user_id="u"):
        assert threading.Thread.start is not PLAIN["start"]
        assert ThreadPoolExecutor.submit is not PLAIN["submit"]


def test_a_wrapper_on_top_of_ours_stays_and_goes_straight_through(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, note = _users()
    with spanledger.tags(user_id="u"):
        ours = threading.Thread.start
        calls = []

        def theirs(thread: threading.Thread) -> None:
            calls.append(thread)
            ours(thread)

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", theirs)
            tagging.end_use()
            patched.setattr(switch, "on", False)
            thread = threading.Thread(target=note)
            thread.start()
            thread.join()
            assert (calls, seen) == ([thread], [None])
        setattr(threading.Thread, "start", PLAIN["start"])  # noqa: B010 - mypy takes no method there


def test_what_stands_there_before_us_is_called_as_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, note = _users()
    before: Any = functools.partialmethod(PLAIN["start"])
    monkeypatch.setattr(threading.Thread, "start", before)
    with spanledger.tags(user_id="u"):
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()
    tagging.end_use()

    assert (seen, threading.Thread.__dict__["start"]) == (["u"], before)
    monkeypatch.undo()


def test_a_timer_that_was_given_a_start_of_its_own_has_tags_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, note = _users()
    plain: Any = PLAIN["start"]
    monkeypatch.setattr(threading.Timer, "start", lambda timer: plain(timer), raising=False)
    with spanledger.tags(user_id="u"):
        timer = threading.Timer(0, note)
        timer.start()
        timer.join()
    tagging.end_use()
    monkeypatch.undo()

    assert seen == ["u"]


def test_a_thread_that_cannot_be_shadowed_runs_without_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, note = _users()

    class Odd(threading.Thread):
        asked = 0

        @property
        def run(self) -> Callable[[], None]:  # pyright: ignore[reportIncompatibleMethodOverride]
            self.asked += 1
            if self.asked == 1:
                raise RuntimeError("not yet")
            return note

    monkeypatch.setattr(faults, "_counts", Counter())
    with spanledger.tags(user_id="u"):
        thread = Odd()
        thread.start()
        thread.join()

    assert seen == [None]
    assert faults.counts() == {"thread without tags: RuntimeError": 1}


def test_where_threads_cannot_be_wrapped_tags_hold_in_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(threads, "install", fail)
    monkeypatch.setattr(faults, "_counts", Counter())
    with spanledger.tags(user_id="u"):
        assert _user() == "u"

    assert faults.counts() == {"tags stay in the thread that set them: RuntimeError": 1}


def test_the_start_of_a_program_wraps_nothing() -> None:
    code = (
        "import _spanledger_boot as b; b.switch_on(); import spanledger, threading; spanledger.tags, spanledger.span;"
        "print(hasattr(threading.Thread.start, '_spanledger'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "False\n"
