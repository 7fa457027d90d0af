"""Sample agents that the demo's policy is about: one is stopped, one degraded, one answered from a cache.

They are ordinary code: nothing here knows of the policy but the one `except` that an application would have, too.
"""

from __future__ import annotations

import random
from typing import Final

import anthropic
import openai

import spanledger

from .people import DIGEST_MODEL, PLANNING_MODEL, RUNAWAY_MODEL
from .plans import plan_header
from .tokens import make_text

_STEPS: Final = 12
_DRAFTS: Final = 8
_ASKED: Final = 4


def scout_flights(client: anthropic.Anthropic, chance: random.Random) -> None:
    """Look for a flight in a loop that takes every error for bad luck and goes on, until it is stopped."""
    told = [make_text(4200, "Find a direct flight to Kyoto below $90.")]
    refused = 0
    with spanledger.span("flight scout", kind="agent"):
        for step in range(_STEPS):
            try:
                client.messages.create(
                    model=RUNAWAY_MODEL,
                    max_tokens=400,
                    messages=[{"role": "user", "content": "\n".join(told)}],
                    extra_headers=plan_header(text_tokens=120 + chance.randrange(140)),
                )
            except spanledger.BudgetExceeded:
                refused += 1
            told.append(make_text(1500 + chance.randrange(600), f"Attempt {step + 1}: nothing found."))
        spanledger.outcome("flight found", success=False)


def write_newsletter(client: openai.OpenAI, chance: random.Random) -> None:
    """Draft a newsletter again and again; most of it is written by a cheaper model once the day's money is short."""
    with spanledger.span("newsletter", kind="agent"):
        for draft in range(_DRAFTS):
            client.chat.completions.create(
                model=PLANNING_MODEL,
                messages=[{"role": "user", "content": make_text(1000, f"Draft {draft + 1}, {chance.random()}:")}],
                extra_headers=plan_header(text_tokens=220 + chance.randrange(80)),
            )


def answer_questions(client: openai.OpenAI, _chance: random.Random) -> None:
    """Answer one question several times: the provider is asked once an hour."""
    for _ in range(_ASKED):
        with spanledger.span("faq", kind="agent"):
            client.chat.completions.create(
                model=DIGEST_MODEL,
                temperature=0,
                messages=[{"role": "user", "content": make_text(600, "How much luggage may I take?")}],
                extra_headers=plan_header(text_tokens=90),
            )
