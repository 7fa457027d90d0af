"""What a case of the SDK matrix is, and how a span's tokens read back as the vector they came from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from spanledger import names
from spanledger.usage import Usage, UsageState
from spanledger_cli.demo.provider import LocalProvider

HELLO: Any = [{"role": "user", "content": "Where is the best hotel in Paris?"}]
"""As the SDKs' types want it, at the cost of Any."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a case works with."""

    provider: LocalProvider

    def openai(self, **options: Any) -> OpenAI:
        return OpenAI(base_url=f"{self.provider.url}/v1", api_key="none", **options)

    def openai_async(self, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.provider.url}/v1", api_key="none", **options)

    def claude(self, **options: Any) -> Anthropic:
        return Anthropic(base_url=self.provider.url, api_key="none", **options)

    def claude_async(self, **options: Any) -> AsyncAnthropic:
        return AsyncAnthropic(base_url=self.provider.url, api_key="none", **options)


@dataclass(frozen=True, slots=True)
class Broken:
    """What is left to say of a call whose answer the application did not get to the end of."""

    status: str
    state: UsageState
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One way to call an SDK; `run` returns what the application got, as plain values."""

    name: str
    run: Callable[[Bench], object] | Callable[[Bench], Coroutine[Any, Any, object]]
    broken: tuple[Broken, ...] | None = None
    """None where every call on the bill must be in the ledger exactly as billed."""


class Cases(list[Case]):
    """The cases of one SDK, in the order they are written."""

    def add(self, *broken: Broken, free: bool = False) -> Callable[[Any], Any]:
        """Register a function as a case; `free` ones leave nothing that is charged."""

        def register(function: Any) -> Any:
            self.append(Case(function.__name__, function, broken if broken or free else None))
            return function

        return register


async def given_up(bench: Bench, asking: Awaitable[object]) -> str:
    """Cancel a request once the provider has it, as its plan is then used up; the name of what that raised."""
    before = bench.provider.requests
    asked = asyncio.ensure_future(asking)
    while bench.provider.requests == before and not asked.done():
        await asyncio.sleep(0.01)
    asked.cancel()
    try:
        await asked
    except asyncio.CancelledError as error:
        return type(error).__name__
    return "answered"


def usage_of(span: dict[str, Any]) -> Usage:
    """Read the disjoint parts back from what stands on the wire."""
    known = span["attributes"]

    def count(name: str) -> int:
        return int(known.get(name, 0))

    audio_read = count(names.CACHE_READ_AUDIO_TOKENS)
    units = {
        key.removeprefix(names.UNIT_PREFIX): Decimal(str(amount))
        for key, amount in known.items()
        if key.startswith(names.UNIT_PREFIX)
    }
    return Usage.from_totals(
        count(names.INPUT_TOKENS),
        count(names.OUTPUT_TOKENS),
        units=units,
        cache_read_tokens=count(names.CACHE_READ_TOKENS) - audio_read,
        cache_read_audio_tokens=audio_read,
        cache_write_5m_tokens=count(names.CACHE_WRITE_5M_TOKENS),
        cache_write_1h_tokens=count(names.CACHE_WRITE_1H_TOKENS),
        cache_write_12h_tokens=count(names.CACHE_WRITE_12H_TOKENS),
        input_audio_tokens=count(names.INPUT_AUDIO_TOKENS) - audio_read,
        input_image_tokens=count(names.INPUT_IMAGE_TOKENS),
        reasoning_tokens=count(names.REASONING_TOKENS),
        output_audio_tokens=count(names.OUTPUT_AUDIO_TOKENS),
        output_image_tokens=count(names.OUTPUT_IMAGE_TOKENS),
    )
