"""Whether it pays to change the model in the middle of a session.

A provider's prompt cache belongs to one model. At the first call after a change the whole history is new to the other
model and costs its full price, while the model before would have read it for a tenth. So a change has to pay with the
very call that it is made at: nobody knows whether another one follows.
"""

from __future__ import annotations

from typing import Final

from spanledger.pricing import price
from spanledger.usage import Usage

from .decisions import shown
from .estimate import up
from .wants import Wants

LEAST_CACHED: Final = 1024
"""Tokens of a prefix below which providers cache nothing: OpenAI, and most of Anthropic's models; Gemini needs more."""


def why_not_now(
    provider: str, asked: str, to: str, wants: Wants, tokens: tuple[int, int, int], at_ns: int
) -> str | None:
    """Say why a session should go on with the model that it has; None where a change costs nothing, or pays.

    `tokens` are those of the input, of the part of it that the call before had sent, and of the output.
    """
    into, cached, out = tokens
    if wants.turn is None:
        return "the provider keeps the conversation, and its cache"
    if wants.turn == 1 or cached < LEAST_CACHED or (_is_claude(provider, asked) and not wants.marks_cache):
        return None
    stay = _nano(provider, asked, Usage(into - cached, cache_read_tokens=cached, output_text_tokens=out), at_ns)
    anew = Usage(into, output_text_tokens=out)
    if wants.marks_cache:
        anew = Usage(into - cached, cache_write_5m_tokens=cached, output_text_tokens=out)
    change = _nano(provider, to, anew, at_ns)
    if stay is None or change is None:
        return "in the middle of a session, and there is no price to tell whether it pays"
    if change < stay:
        return None
    return (
        f"in the middle of a session: with {cached:,} tokens cached, {asked} costs {shown(stay, 'usd')},"
        f" and {to} would cost {shown(change, 'usd')}"
    )


def _is_claude(provider: str, model: str) -> bool:
    """Tell whether a model is one of which only what is marked is cached, whoever serves it."""
    return provider == "anthropic" or "claude" in model


def _nano(provider: str, model: str, usage: Usage, at_ns: int) -> int | None:
    pico = price(provider, model, usage, at_ns, itemised=False).cost_pico
    return None if pico is None else up(pico)
