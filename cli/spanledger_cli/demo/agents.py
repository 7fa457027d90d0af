"""Sample agents: the real SDKs, tags around the work, and nothing else.

Run as a process of its own, `python -m spanledger_cli.demo.agents`, with SPANLEDGER_ENABLED=1: nothing here
switches tracing on or reports a price. What the local provider shall answer travels in a request header.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import anthropic
import click
import openai

import spanledger

from .controlled import answer_questions, scout_flights, write_newsletter
from .hotel import search_hotels
from .people import (
    CHAT_MODEL,
    DIGEST_MODEL,
    DOCUMENT_SEARCH,
    EMBEDDING_MODEL,
    FAQ,
    FLIGHT_SCOUT,
    HOTEL_SEARCH,
    NEWSLETTER,
    PEOPLE,
    PLANNING_MODEL,
    REVIEW_DIGEST,
    RUNAWAY_USER,
    SEARCH_MODEL,
    SMALL_CHAT_MODEL,
    SUPPORT_CHAT,
    TRIP_PLANNER,
    UNPRICED_MODEL,
    Feature,
    Person,
)
from .plans import plan_header
from .tokens import make_text


@dataclass(frozen=True, slots=True)
class Clients:
    """The SDKs' own clients, all pointed at the local provider."""

    openai: openai.OpenAI
    anthropic: anthropic.Anthropic
    base_url: str

    @classmethod
    def connect(cls, base_url: str) -> Clients:
        """Make clients of a provider's address; the key is not looked at."""
        return cls(
            openai.OpenAI(base_url=f"{base_url}/v1", api_key="demo"),
            anthropic.Anthropic(base_url=base_url, api_key="demo"),
            base_url,
        )


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent of the application."""

    feature: Feature
    run: Callable[[Clients, random.Random], None]
    every: int
    """Runs in each so-many-th round."""
    person: Person | None = None
    """Whom it works for; None: another user each time."""


def find_hotel(clients: Clients, _chance: random.Random) -> None:
    """Answer the hotel query; three calls, each with the whole history."""
    search_hotels(clients.openai)


def chat_with_support(clients: Clients, chance: random.Random) -> None:
    """Hold a conversation over a long handbook that both cache lifetimes are used on."""
    handbook: anthropic.types.TextBlockParam = {
        "type": "text",
        "text": make_text(2400, "You answer travellers' questions by the handbook below."),
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    messages: list[anthropic.types.MessageParam] = []
    with spanledger.span("support chat", kind="agent"):
        for turn in range(1 + chance.randrange(3)):
            question: anthropic.types.TextBlockParam = {
                "type": "text",
                "text": make_text(120 + chance.randrange(400), f"Question {turn + 1} about booking {chance.random()}."),
                "cache_control": {"type": "ephemeral"},
            }
            messages.append({"role": "user", "content": [question]})
            answer = clients.anthropic.messages.create(
                model=CHAT_MODEL,
                max_tokens=1000,
                system=[handbook],
                messages=messages,
                extra_headers=plan_header(text_tokens=90 + chance.randrange(240)),
            )
            messages.append({"role": "assistant", "content": answer.content})
        solved = chance.random() < 0.8
        spanledger.outcome("ticket resolved", success=solved, value_usd=Decimal("4.00") if solved else None)


def search_documents(clients: Clients, chance: random.Random) -> None:
    """Embed a question, fetch passages, answer from them; the first attempt meets a rate limit."""
    with spanledger.span("document search", kind="agent"):
        clients.openai.embeddings.create(model=EMBEDDING_MODEL, input=make_text(24, "Which visa do I need?"))
        with spanledger.span("fetch_passages", kind="tool"):
            passages = make_text(800 + chance.randrange(1200), "Passages:")
        clients.openai.chat.completions.create(
            model=SEARCH_MODEL,
            messages=[{"role": "system", "content": passages}, {"role": "user", "content": "Which visa do I need?"}],
            extra_headers=plan_header(text_tokens=150 + chance.randrange(150), status=429, failing_attempts=1),
        )


def plan_trip(clients: Clients, chance: random.Random) -> None:
    """Let a reasoning model draft a trip, then revise it; the provider keeps the history and bills it again."""
    with spanledger.span("trip planner", kind="agent"):
        draft = clients.openai.responses.create(
            model=PLANNING_MODEL,
            input=make_text(700 + chance.randrange(500), "Plan ten days in Japan for two."),
            reasoning={"effort": "medium"},
            extra_headers=plan_header(text_tokens=500, reasoning_tokens=800 + chance.randrange(900)),
        )
        with clients.openai.responses.stream(
            model=PLANNING_MODEL,
            input=make_text(40, "Two days less, and no flights."),
            previous_response_id=draft.id,
            extra_headers=plan_header(text_tokens=420, reasoning_tokens=300 + chance.randrange(400)),
        ) as revision:
            revision.until_done()


def digest_reviews(clients: Clients, chance: random.Random) -> None:
    """Summarise reviews with two small models at once, asynchronous and streamed."""
    asyncio.run(_digest(clients, make_text(900 + chance.randrange(900), "Reviews:")))


async def _digest(clients: Clients, reviews: str) -> None:
    with spanledger.span("review digest", kind="agent"):
        await asyncio.gather(_digest_openai(clients, reviews), _digest_anthropic(clients, reviews))


async def _digest_openai(clients: Clients, reviews: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{clients.base_url}/v1", api_key="demo") as client:
        stream = await client.chat.completions.create(
            model=DIGEST_MODEL,
            messages=[{"role": "user", "content": reviews}],
            stream=True,
            extra_headers=plan_header(text_tokens=220),
        )
        async for _chunk in stream:
            pass


async def _digest_anthropic(clients: Clients, reviews: str) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=clients.base_url, api_key="demo") as client,
        client.messages.stream(
            model=SMALL_CHAT_MODEL,
            max_tokens=600,
            messages=[{"role": "user", "content": reviews}],
            extra_headers=plan_header(text_tokens=180),
        ) as stream,
    ):
        await stream.until_done()


def try_tuned_model(clients: Clients, _chance: random.Random) -> None:
    """Call a model that no price book knows."""
    with spanledger.span("tuned model trial", kind="agent"):
        clients.openai.chat.completions.create(
            model=UNPRICED_MODEL, messages=[{"role": "user", "content": make_text(300)}]
        )


def meet_an_outage(clients: Clients, _chance: random.Random) -> None:
    """Fail for good: every attempt gets a 500, so the call is an error and costs nothing."""
    with spanledger.span("document search", kind="agent"):
        try:
            clients.openai.chat.completions.create(
                model=SEARCH_MODEL,
                messages=[{"role": "user", "content": "Which visa do I need?"}],
                extra_headers=plan_header(status=500),
            )
        except openai.InternalServerError:
            spanledger.outcome("question answered", success=False)


def label_questions(clients: Clients, _chance: random.Random) -> None:
    """Sort the day's questions by subject; one call with no agent around it."""
    clients.openai.chat.completions.create(
        model=DIGEST_MODEL,
        messages=[{"role": "user", "content": make_text(160, "Sort these questions by subject.")}],
        extra_headers=plan_header(text_tokens=24),
    )


AGENTS = (
    Agent(HOTEL_SEARCH, find_hotel, every=2),
    Agent(SUPPORT_CHAT, chat_with_support, every=1),
    Agent(DOCUMENT_SEARCH, search_documents, every=1),
    Agent(TRIP_PLANNER, plan_trip, every=2),
    Agent(REVIEW_DIGEST, digest_reviews, every=2),
    Agent(REVIEW_DIGEST, try_tuned_model, every=7),
    Agent(DOCUMENT_SEARCH, meet_an_outage, every=5),
    Agent(FLIGHT_SCOUT, lambda clients, chance: scout_flights(clients.anthropic, chance), 9, RUNAWAY_USER),
    Agent(NEWSLETTER, lambda clients, chance: write_newsletter(clients.openai, chance), every=9),
    Agent(FAQ, lambda clients, chance: answer_questions(clients.openai, chance), every=4),
)
LABELLING = Agent(DOCUMENT_SEARCH, label_questions, every=1)


def work(clients: Clients, seed: int, rounds: int, pause_s: float) -> None:
    """Run every agent for `rounds` rounds (0: without end), each time for another user."""
    chance = random.Random(seed)  # noqa: S311 - sample data
    numbers: Iterator[int] = iter(range(rounds)) if rounds else itertools.count()
    for number in numbers:
        for agent in AGENTS:
            if number % agent.every == 0:
                _run(agent, clients, agent.person or chance.choice(PEOPLE), f"s-{seed}-{number}", chance)
                time.sleep(pause_s)
    # Last, and a span without children: when it has arrived, all before it has.
    _run(LABELLING, clients, PEOPLE[0], f"s-{seed}-end", chance)


def _run(agent: Agent, clients: Clients, person: Person, session: str, chance: random.Random) -> None:
    with spanledger.tags(
        user_id=person.user_id,
        team_id=agent.feature.team_id,
        customer_id=person.customer_id,
        feature=agent.feature.name,
        session_id=f"{session}-{person.user_id}",
    ):
        agent.run(clients, chance)


@click.command()
@click.option("--base-url", required=True, help="Address of the local provider.")
@click.option("--seed", type=int, default=7, help="Same seed, same users and sizes.")
@click.option("--rounds", type=int, default=3, help="How often every agent runs; 0: without end.")
@click.option("--pause", "pause_s", type=float, default=0.0, help="Seconds between agents.")
def main(base_url: str, seed: int, rounds: int, pause_s: float) -> None:
    """Run the sample agents against a local provider."""
    try:
        work(Clients.connect(base_url), seed, rounds, pause_s)
    except KeyboardInterrupt:
        click.echo("agents stopped", err=True)
    spanledger.flush(timeout_s=10)


if __name__ == "__main__":
    main()
