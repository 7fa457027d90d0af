"""Who a generated lake is about: users of customers, teams with features, the models that features call.

All follows from the seed and the size. Weights fall by rank (Zipf with a flattened head), so that there are heavy users
and no single one that is half of the lake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SEED: Final = 20_261_128
TEAMS: Final = 25
FEATURES: Final = 60
CHAT, RAG, AGENT = range(3)
"""Kinds of feature: one call; a server's span over an embedding and a call; a loop of calls and tools."""
_HOME: Final = 0.7
"""Share of sessions that a user has with features of one team."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that features call."""

    provider: str
    name: str
    answered: str
    """What the answer says that it is."""
    host: str
    caches: str
    """Which tokens of a prefix it writes: none are told (`read`), those of 5 minutes (`write`), or no cache (``)."""
    reasons: bool
    weight: float


MODELS: Final = (
    Model("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07", "api.openai.com", "read", True, 22),
    Model("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "api.anthropic.com", "write", False, 20),
    Model("openai", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "api.openai.com", "read", False, 14),
    Model("openai", "gpt-5", "gpt-5-2025-08-07", "api.openai.com", "read", True, 12),
    Model("google", "gemini-2.5-flash", "gemini-2.5-flash", "generativelanguage.googleapis.com", "read", True, 10),
    Model("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "api.anthropic.com", "write", False, 9),
    Model("google", "gemini-2.5-pro", "gemini-2.5-pro", "generativelanguage.googleapis.com", "read", True, 4),
    Model("anthropic", "claude-opus-4-5", "claude-opus-4-5-20251101", "api.anthropic.com", "write", False, 3),
    Model("openai", "gpt-4o", "gpt-4o-2024-08-06", "api.openai.com", "read", False, 3),
    Model("groq", "llama-3.3-70b-versatile", "llama-3.3-70b-versatile", "api.groq.com", "", False, 2),
    Model("house", "llama-fine-tuned", "llama-fine-tuned", "llm.internal", "", False, 1),
)
"""The last has no price."""
EMBEDDING: Final = Model("openai", "text-embedding-3-small", "text-embedding-3-small", "api.openai.com", "", False, 0)
EVERY_MODEL: Final = (*MODELS, EMBEDDING)


@dataclass(frozen=True, slots=True)
class Population:
    """Users and features, by number; the weights are cumulative, ending at 1."""

    user_reach: Floats
    customer_of: Ints
    """By user."""
    home_of: Ints
    """Team whose features a user has most to do with, by user."""
    feature_reach: Floats
    team_features: Ints
    """By team, features by rank, an even number to each team (some twice)."""
    team_of: Ints
    """Team that pays, by feature."""
    kind_of: Ints
    models_of: Ints
    """By feature, three models: of most calls, of some, of few."""
    prompt_tokens: Ints
    """System prompt and tools, by feature."""

    def users(self, chance: np.random.Generator, count: int) -> Ints:
        """Draw users."""
        return np.searchsorted(self.user_reach, chance.random(count)).astype(np.int64)

    def features_for(self, chance: np.random.Generator, users: Ints) -> Ints:
        """Draw a feature for each user: mostly one of the home team's."""
        anywhere = np.searchsorted(self.feature_reach, chance.random(len(users)))
        choice = (chance.random(len(users)) ** 2 * self.team_features.shape[1]).astype(np.int64)
        at_home = self.team_features[self.home_of[users], choice]
        return np.where(chance.random(len(users)) < _HOME, at_home, anywhere).astype(np.int64)


def populate(spans: int) -> Population:
    """Return the population of a lake of so many spans."""
    chance, of_users = np.random.default_rng(SEED), np.random.default_rng((SEED, 4))
    users = int(np.clip(spans // 500, 1_000, 200_000))
    customers = users // 40
    team_of = np.concatenate([np.arange(TEAMS), chance.integers(0, TEAMS, FEATURES - TEAMS)]).astype(np.int64)
    model_reach = np.cumsum([model.weight for model in MODELS]) / sum(model.weight for model in MODELS)
    return Population(
        user_reach=_reach(users, 25, 1.05),
        customer_of=np.searchsorted(_reach(customers, 5, 1.0), of_users.random(users)).astype(np.int64),
        home_of=np.searchsorted(_reach(TEAMS, 3, 0.9), of_users.random(users)).astype(np.int64),
        feature_reach=_reach(FEATURES, 3, 1.0),
        team_features=np.stack([np.resize(np.flatnonzero(team_of == team), 4) for team in range(TEAMS)]),
        team_of=team_of,
        kind_of=np.searchsorted([0.35, 0.6, 1.0], chance.random(FEATURES)).astype(np.int64),
        models_of=np.searchsorted(model_reach, chance.random((FEATURES, 3))).astype(np.int64),
        prompt_tokens=np.exp(chance.normal(7.0, 0.8, FEATURES)).astype(np.int64),
    )


def _reach(count: int, flat: int, power: float) -> Floats:
    weights = 1.0 / (np.arange(count) + flat) ** power
    reach = np.cumsum(weights)
    return np.asarray(reach / reach[-1], np.float64)
