"""The traces of one generated day as numbers, an element a span: who, where in the tree, when, how many tokens.

A session is a few traces of one user with one feature, one after another; a trace is one call, or a tree: a server's
span over an embedding and a call, or an agent over a loop of calls and tools, the longer ones with an agent below. What
is read from the prompt cache grows with the turn of the session and the step of the loop. No trace goes past midnight:
each day can then be made apart from the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from made.population import CHAT, MODELS, RAG, SEED, Floats, Ints, Population

INFERENCE, TOOL, AGENT_SPAN, OTHER, EMBED = range(5)
"""What a span is; an embedding is an inference too."""
DAY_US: Final = 86_400_000_000
MOST_SPANS: Final = 30
_SUB_AGENT_AT: Final = 6
_SESSION: Final = 2.5
"""Traces in a session, on average."""
_RHYTHM: Final = np.array(
    [*(2, 1.5, 1.2, 1, 1, 1.5, 3, 6, 10, 13, 14, 13), *(11, 13, 14, 14, 13, 11, 9, 8, 7, 6, 4.5, 3)], np.float64
)
"""How busy each hour is."""
_WEEK: Final = (1.0, 1.05, 1.08, 1.05, 0.95, 0.4, 0.3)
"""How busy each day is, from Monday."""
_TRIAL_TRACES: Final = 50_000

Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Spans:
    """The spans of a day."""

    trace: Ints
    """Number within the day; so are those of sessions."""
    place: Ints
    """Within the trace, from 0."""
    parent: Ints
    """Place of the parent, -1 at the root."""
    kind: Ints
    start_us: Ints
    """From midnight."""
    duration_us: Ints
    user: Ints
    feature: Ints
    session: Ints
    turn: Ints
    step: Ints
    """Of the loop, from 1."""
    model: Ints
    """Index into EVERY_MODEL; -1 where nothing is called."""
    input: Ints
    read: Ints
    written: Ints
    output: Ints
    reasoning: Ints
    failed: Bools
    root_tags: Bools
    """Whether the root alone says who it was for."""

    def take(self, order: Ints) -> Spans:
        """Return them in another order."""
        return Spans(*(getattr(self, name)[order] for name in self.__slots__))

    @property
    def is_call(self) -> Bools:
        """Which are LLM calls."""
        return np.asarray((self.kind == INFERENCE) | (self.kind == EMBED), np.bool_)

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.trace)


def day_shares(first_weekday: int, days: int) -> Floats:
    """Return what share of all spans each day has: the week's rhythm, growth, and noise."""
    chance = np.random.default_rng((SEED, 1))
    day = np.arange(days)
    weight = np.array(_WEEK)[(first_weekday + day) % 7] * 1.004**day * np.exp(chance.normal(0, 0.08, days))
    return np.asarray(weight / weight.sum(), np.float64)


def spans_a_trace(people: Population) -> float:
    """Return how many spans a trace has on average, by a day that is in no lake."""
    spans = make_day(people, 0, _TRIAL_TRACES, 0.0)
    return float(spans.rows / (spans.trace[-1] + 1))


def make_day(people: Population, day: int, traces: int, root_tags: float) -> Spans:
    """Return about so many traces of a day, by trace and place; a share of the calls has its tags on the root alone."""
    chance = np.random.default_rng((SEED, 2, day))
    session, turn, began = _sessions(chance, max(1, traces))
    session_user = people.users(chance, session[-1] + 1)
    session_feature = people.features_for(chance, session_user)
    feature = session_feature[session]
    sizes = _sizes(chance, people.kind_of[feature])
    trace = np.arange(len(session)).repeat(sizes)
    place = np.arange(len(trace)) - (np.cumsum(sizes) - sizes).repeat(sizes)
    size = sizes[trace]
    kind = _kinds(people.kind_of[feature][trace], place, size)
    parent = _parents(kind, place, size)
    step = np.where(kind == INFERENCE, (place + 1) // 2, 1).clip(1)
    start, duration = _times(chance, kind, sizes, place, began)
    model = _models(chance, people, feature[trace], kind)
    failed = chance.random(len(trace)) < np.where(kind == INFERENCE, 0.015, np.where(kind == TOOL, 0.03, 0.0))
    tokens = _tokens(chance, people, feature[trace], turn[trace], step, model, failed)
    return Spans(
        trace, place, parent, kind, start, duration, session_user[session][trace], feature[trace], session[trace],
        turn[trace], step, model, *tokens, failed, _tagged_at_root(chance, trace, place, kind, root_tags),
    )  # fmt: skip


def _sessions(chance: np.random.Generator, traces: int) -> tuple[Ints, Ints, Ints]:
    """Return of each trace the session, the turn in it, and when it began."""
    lengths = chance.geometric(1 / _SESSION, int(traces / _SESSION) + 1)
    session = np.arange(len(lengths)).repeat(lengths)
    first = (np.cumsum(lengths) - lengths).repeat(lengths)
    turn = np.arange(len(session)) - first + 1
    reach = np.concatenate([[0.0], np.cumsum(_RHYTHM) / _RHYTHM.sum()])
    opened = np.interp(chance.random(len(lengths)), reach, np.arange(25) * 3_600_000_000)
    gap = chance.exponential(90_000_000, len(session))
    waited = np.cumsum(gap)
    return session, turn, (opened[session] + waited - waited[first]).astype(np.int64)


def _sizes(chance: np.random.Generator, kind: Ints) -> Ints:
    """Return how many spans each trace has."""
    loop = np.exp(chance.normal(2.25, 0.7, len(kind)))
    return np.select([kind == CHAT, kind == RAG], [1, 3], np.clip(loop, 3, MOST_SPANS)).astype(np.int64)


def _kinds(of_feature: Ints, place: Ints, size: Ints) -> Ints:
    """Return what each span is: in a loop, calls stand at odd places and tools at even ones."""
    sub = _under_sub_agent(place, size) | (place == _SUB_AGENT_AT) & (size >= 2 * _SUB_AGENT_AT)
    loop = np.select(
        [place == 0, sub & (place == _SUB_AGENT_AT), (place % 2 == 1) | (place == size - 1)],
        [AGENT_SPAN, AGENT_SPAN, INFERENCE],
        TOOL,
    )
    rag = np.array([OTHER, EMBED, INFERENCE])[place.clip(0, 2)]
    return np.asarray(np.select([of_feature == CHAT, of_feature == RAG], [INFERENCE, rag], loop), np.int64)


def _under_sub_agent(place: Ints, size: Ints) -> Bools:
    return np.asarray((size >= 2 * _SUB_AGENT_AT) & (place > _SUB_AGENT_AT) & (place < size - 1), np.bool_)


def _parents(kind: Ints, place: Ints, size: Ints) -> Ints:
    return np.asarray(np.where(place == 0, -1, np.where(_under_sub_agent(place, size), _SUB_AGENT_AT, 0)), np.int64)


def _times(chance: np.random.Generator, kind: Ints, sizes: Ints, place: Ints, began: Ints) -> tuple[Ints, Ints]:
    """Return when each span began and how long it took: leaves one after another, what stands above until their end."""
    took = np.exp(chance.normal(0, 0.7, len(kind)))
    took *= np.select([kind == INFERENCE, kind == EMBED, kind == TOOL], [2_400_000, 90_000, 260_000], 2_000)
    took = took.astype(np.int64) + 300
    first = (np.cumsum(sizes) - sizes).repeat(sizes)
    run = np.concatenate([[0], np.cumsum(took)])
    begun = run[:-1] - run[first]
    last = first + sizes.repeat(sizes)
    whole = run[last] - run[first]
    sub = (kind == AGENT_SPAN) & (place > 0)
    until = np.where(sub, last - 1, last)
    above = np.isin(kind, (AGENT_SPAN, OTHER))
    duration = np.where(above, run[until] - run[:-1], took)
    start = np.minimum(began.repeat(sizes), DAY_US - 1 - whole)
    return (start + begun).astype(np.int64), duration.astype(np.int64)


def _models(chance: np.random.Generator, people: Population, feature: Ints, kind: Ints) -> Ints:
    choice = np.searchsorted([0.75, 0.95], chance.random(len(kind)))
    called = people.models_of[feature, choice]
    return np.select([kind == INFERENCE, kind == EMBED], [called, len(MODELS)], -1).astype(np.int64)


def _tokens(
    chance: np.random.Generator, people: Population, feature: Ints, turn: Ints, step: Ints, model: Ints, failed: Bools
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Return input, read from cache, written to cache, output, and reasoning within it."""
    prompt = people.prompt_tokens[feature]
    talk = (turn - 1) * 420 + (step - 1) * 380
    user = np.exp(chance.normal(4.6, 1.0, len(model))).astype(np.int64) + 8
    embeds, calls = model == len(MODELS), model >= 0
    whole = np.where(embeds, user, prompt + talk + user)
    caches = np.array([{"": 0, "read": 1, "write": 2}[one.caches] for one in MODELS] + [0, 0])[model]
    warm = (caches > 0) & (prompt > 1024) & (chance.random(len(model)) < np.where((turn > 1) | (step > 1), 0.85, 0.5))
    read = np.where(warm, (prompt + np.maximum(talk - 400, 0)) // 128 * 128, 0)
    written = np.where((caches == 2) & (prompt > 1024), np.where(warm, talk + 200, whole - user) - 0, 0)
    written = np.minimum(written, whole - read)
    said = np.clip(np.exp(chance.normal(5.1, 0.9, len(model))), 1, 8192).astype(np.int64)
    thinks = np.array([one.reasons for one in MODELS] + [False, False])[model]
    thought = np.where(thinks, (said * chance.gamma(2.0, 0.6, len(model))).astype(np.int64), 0)
    answered = calls & ~failed
    output = np.where(answered & ~embeds, said + thought, 0)
    return tuple(
        np.where(answered, values, 0).astype(np.int64)
        for values in (whole, read, written, output, np.minimum(thought, output))
    )  # type: ignore[return-value]


def _tagged_at_root(chance: np.random.Generator, trace: Ints, place: Ints, kind: Ints, share: float) -> Bools:
    """Choose the traces whose root alone says who it was for, so that this share of all calls inherits."""
    traces = trace[-1] + 1
    calls = np.isin(kind, (INFERENCE, EMBED))
    below = (calls & (place > 0)).sum() / calls.sum()
    chosen = chance.random(traces) < min(1.0, share / below)
    return np.asarray(chosen[trace], np.bool_)
