"""Passing the gate: a call waits, goes on, or is stopped before anything of it is sent; in both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from .call import Call
from .errors import Refusal
from .guard.refusals import Dress
from .own_threads import OwnThreads

T = TypeVar("T")
_threads: Final = OwnThreads("spanledger-ask")
"""What they do waits for a store, and never for the event loop."""


def admit(call: Call, dress: Dress | None = None, *, waits: bool = True) -> None:
    """Have a call pass the policy's rules; raises what the application gets where one of them stops it.

    `dress` makes that error, where it isn't the one of the SDK whose protocol is spoken. With `waits` False a call that
    would have to wait goes on: nobody may hold up the loop that it is made from.
    """
    admission = call.admission
    while admission is not None and (step := admission.step()) is not None:
        if isinstance(step, Refusal):
            raise call.refuse(step, dress)
        if not waits:
            return
        try:
            time.sleep(step)
        except BaseException as error:
            call.fail(error)
            raise


async def admit_async(call: Call, dress: Dress | None = None) -> None:
    """Have a call pass the policy's rules, without holding up the event loop."""
    admission = call.admission
    while admission is not None:
        try:
            step = await in_thread(admission.step) if admission.blocks else admission.step()
            if step is None:
                return
            if not isinstance(step, Refusal):
                await _sleep(step)
        except BaseException as error:
            call.fail(error)
            raise
        if isinstance(step, Refusal):
            raise call.refuse(step, dress)


async def in_thread(step: Callable[[], T], threads: OwnThreads = _threads) -> T:
    """Run what may take a while in a thread, so that the event loop goes on."""
    if _is_asyncio():
        return await threads.run(step)
    return step()  # of another loop, which nobody has a thread for here


async def _sleep(seconds: float) -> None:
    if _is_asyncio():
        await asyncio.sleep(seconds)
        return
    import anyio  # an SDK that runs on another loop has it

    await anyio.sleep(seconds)


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
