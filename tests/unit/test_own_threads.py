"""Threads of our own: in the context of who gives work out, a few of them, and nobody's end waits for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar
from functools import partial

import pytest

from spanledger import own_threads
from spanledger.own_threads import OwnThreads
from waiting import wait_until

VALUE: ContextVar[str] = ContextVar("VALUE", default="nobody's")


def test_work_is_done_in_the_context_of_who_gives_it_out() -> None:
    async def ask(value: str) -> str:
        VALUE.set(value)
        return await threads.run(VALUE.get)

    async def all_ask() -> list[str]:
        return [*await asyncio.gather(*(ask(str(number)) for number in range(50))), await threads.run(VALUE.get)]

    threads = OwnThreads("mine")
    assert asyncio.run(all_ask()) == [*(str(number) for number in range(50)), "nobody's"]


def test_there_are_no_more_than_a_few_and_who_gives_up_before_his_turn_costs_nothing() -> None:
    go_on, ran = threading.Event(), []

    def step(number: int) -> None:
        ran.append(number)
        assert go_on.wait(20)

    async def all_ask() -> None:
        most = own_threads._MOST
        tasks = [asyncio.create_task(threads.run(partial(step, number))) for number in range(most + 2)]
        await asyncio.to_thread(wait_until, lambda: len(ran) == most, what="all threads to be busy")
        tasks[most].cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert sorted(ran) == [*range(most), most + 1]
        assert sum(thread.name == "a few" for thread in threading.enumerate()) == most

    threads = OwnThreads("a few")
    asyncio.run(all_ask())


def test_an_error_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(OwnThreads("mine").run(lambda: 1 // 0))


FORKS = """
import asyncio, os
from spanledger.own_threads import OwnThreads
threads = OwnThreads("mine")
asyncio.run(threads.run(int))
if (child := os.fork()) == 0:
    os._exit(asyncio.run(threads.run(lambda: 7)))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
ENDS = """
import asyncio, atexit, threading
from spanledger.own_threads import OwnThreads
threads, begun = OwnThreads("mine"), threading.Event()
def step():
    begun.set()
    threading.Event().wait()
async def gives_up():
    task = asyncio.create_task(threads.run(step))
    await asyncio.to_thread(begun.wait)
    task.cancel()
atexit.register(lambda: print(asyncio.run(threads.run(lambda: 7))))
asyncio.run(gives_up())
"""


@pytest.mark.parametrize("program", [FORKS, ENDS], ids=["forked child", "end of the program"])
def test_they_work_where_a_pool_would_not(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("7\n", "", 0)
