"""Who uses the made-up travel application that the demo traces: its users, teams, customers and features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SERVICE: Final = "travel-agents"


@dataclass(frozen=True, slots=True)
class Person:
    """One user, and the customer whose contract pays for the seat."""

    user_id: str
    customer_id: str
    eagerness: float
    """Relative number of requests."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature, and the team that owns it."""

    name: str
    team_id: str
    share: float
    """Of all requests."""


PEOPLE: Final = (
    Person("ana", "acme-travel", 1.6),
    Person("ben", "acme-travel", 1.2),
    Person("chloe", "acme-travel", 0.7),
    Person("dmitri", "globex", 1.0),
    Person("eli", "globex", 0.8),
    Person("fatima", "globex", 1.4),
    Person("grace", "initech", 0.9),
    Person("hiro", "initech", 0.5),
)
RUNAWAY_USER: Final = PEOPLE[4]

HOTEL_SEARCH: Final = Feature("hotel-search", "discovery", 0.22)
SUPPORT_CHAT: Final = Feature("support-chat", "support", 0.34)
DOCUMENT_SEARCH: Final = Feature("document-search", "support", 0.2)
TRIP_PLANNER: Final = Feature("trip-planner", "planning", 0.1)
REVIEW_DIGEST: Final = Feature("review-digest", "content", 0.14)
FLIGHT_SCOUT: Final = Feature("flight-scout", "planning", 0)
NEWSLETTER: Final = Feature("newsletter", "marketing", 0)
FAQ: Final = Feature("faq", "support", 0)
"""The demo's policy is about these three; they run at times of their own."""
FEATURES: Final = (HOTEL_SEARCH, SUPPORT_CHAT, DOCUMENT_SEARCH, TRIP_PLANNER, REVIEW_DIGEST)

HOTEL_QUERY: Final = "Find the best hotel in Paris under $200/night for next weekend"
HOTEL_MODEL: Final = "gpt-4-turbo"
CHAT_MODEL: Final = "claude-sonnet-5-5"
SMALL_CHAT_MODEL: Final = "claude-haiku-5-5"
SEARCH_MODEL: Final = "gpt-5.4-mini"
EMBEDDING_MODEL: Final = "text-embedding-3-small"
PLANNING_MODEL: Final = "gpt-5.5"
DIGEST_MODEL: Final = "gpt-4o-mini"
RUNAWAY_MODEL: Final = "claude-opus-5-5"
UNPRICED_MODEL: Final = "travel-tuned-7b"
"""In no price book: the demo shows what an unpriced call looks like."""
