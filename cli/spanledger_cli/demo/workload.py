"""What the travel application did in one past hour: its requests, as spans that are not yet on the wire.

Everything follows from (seed, UTC hour) and from nothing else, the season and the runaway loop included, so that
the same hour comes out the same whenever it is made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from spanledger.usage import Usage

from .past_controls import controlled_steps
from .people import (
    CHAT_MODEL,
    DIGEST_MODEL,
    DOCUMENT_SEARCH,
    EMBEDDING_MODEL,
    FEATURES,
    HOTEL_MODEL,
    HOTEL_SEARCH,
    PEOPLE,
    PLANNING_MODEL,
    REVIEW_DIGEST,
    RUNAWAY_MODEL,
    RUNAWAY_USER,
    SEARCH_MODEL,
    SMALL_CHAT_MODEL,
    SUPPORT_CHAT,
    TRIP_PLANNER,
    UNPRICED_MODEL,
    Feature,
    Person,
)
from .steps import Chance, Request, Step

REQUESTS_PER_HOUR: Final = 10.5
"""On average over a week."""
HOUR_NS: Final = 3600 * 10**9
_RHYTHM: Final = (2, 1, 1, 1, 1, 2, 4, 7, 11, 14, 15, 14, 12, 13, 15, 14, 12, 10, 8, 7, 6, 5, 4, 3)
"""Relative load of the hours of a day, UTC."""
_WEEKDAYS: Final = (1.15, 1.2, 1.2, 1.15, 1.1, 0.6, 0.6)
_SEASON_DAYS: Final = 84
"""Demand climbs for ten weeks and falls for two."""
RUNAWAY_EVERY_DAYS: Final = 30
RUNAWAY_PHASE: Final = 13
RUNAWAY_HOUR: Final = 14
"""Any 30 days hold one runaway loop, at 14 o'clock UTC."""
_RUNAWAY_STEPS: Final = ((60, 3), (95, 17), (50, 41))
"""(steps, starting minute) of the loop's three requests."""


def hour_steps(seed: int, hour: datetime) -> list[Step]:
    """Return every span that began in the UTC hour `hour`, a request's spans together."""
    key = f"{seed}/{hour.astimezone(UTC):%Y-%m-%dT%H}"
    chance = Chance(key)
    start_ns = int(hour.timestamp()) * 10**9
    steps: list[Step] = []
    for index in range(_request_count(chance, hour)):
        feature = chance.pick(FEATURES, lambda feature: feature.share)
        person = chance.pick(PEOPLE, lambda person: person.eagerness)
        request = _request(f"{key}/{index}", person, feature, start_ns + int(chance.share() * HOUR_NS * 0.95))
        _WRITERS[feature.name](request)
        steps += request.finish()
    if is_runaway(hour):
        for index, (count, minute) in enumerate(_RUNAWAY_STEPS):
            moment = start_ns + minute * 60 * 10**9
            steps += _run_away(_request(f"{key}/runaway/{index}", RUNAWAY_USER, TRIP_PLANNER, moment), count)

    def at_half_past(what: str, person: Person, feature: Feature) -> Request:
        return _request(f"{key}/{what}", person, feature, start_ns + HOUR_NS // 2)

    return steps + controlled_steps(seed, hour, at_half_past)


def is_runaway(hour: datetime) -> bool:
    """Say whether the runaway loop ran in this UTC hour."""
    return hour.toordinal() % RUNAWAY_EVERY_DAYS == RUNAWAY_PHASE and hour.hour == RUNAWAY_HOUR


def _request_count(chance: Chance, hour: datetime) -> int:
    load = _RHYTHM[hour.hour] * len(_RHYTHM) / sum(_RHYTHM)
    weekday = _WEEKDAYS[hour.weekday()]
    return int(REQUESTS_PER_HOUR * load * weekday * _season(hour) * (0.75 + chance.share() / 2) + chance.share())


def _season(hour: datetime) -> float:
    day = (hour.toordinal() + hour.hour / 24) % _SEASON_DAYS
    climb = _SEASON_DAYS - 14
    return 0.75 + 0.5 * (day / climb if day < climb else (_SEASON_DAYS - day) / 14)


def _request(key: str, person: Person, feature: Feature, start_ns: int) -> Request:
    chance = Chance(key)
    tags = {
        "user_id": person.user_id,
        "team_id": feature.team_id,
        "customer_id": person.customer_id,
        "feature": feature.name,
        "session_id": f"h-{hashlib.sha256(key.encode()).hexdigest()[:10]}",
        "environment": "staging" if chance.share() < 0.08 else "production",
    }
    return Request(key, chance, tags, start_ns)


def _write_hotel_search(request: Request) -> None:
    chance = request.chance
    request.begin("hotel search")
    size = 3000 - chance.between(0, 600)
    for tool, result, output in (
        ("search_hotels", 1500, 50),
        ("check_availability", 500, 350),
        ("", 0, chance.between(150, 260)),
    ):
        request.call(HOTEL_MODEL, Usage.from_totals(size, output))
        if tool:
            request.tool(tool, chance.between(80, 900))
        size += output + result - chance.between(0, 200)


def _write_support_chat(request: Request) -> None:
    chance = request.chance
    request.begin("support chat")
    handbook, cached = 2400, 0
    warm = chance.share() < 0.85
    history = 0
    for _turn in range(chance.between(1, 4)):
        question, output = chance.between(120, 520), chance.between(90, 330)
        read = handbook + cached if warm else 0
        wrote_1h = 0 if warm else handbook
        total = handbook + history + question
        wrote_5m = total - read - wrote_1h
        request.call(
            CHAT_MODEL,
            Usage.from_totals(
                total,
                output,
                cache_read_tokens=read,
                cache_write_5m_tokens=wrote_5m,
                cache_write_1h_tokens=wrote_1h,
            ),
            stream=chance.share() < 0.5,
        )
        cached, warm = history + question, True
        history += question + output


def _write_document_search(request: Request) -> None:
    chance = request.chance
    if chance.share() < 0.05:
        request.begin("tuned model trial")
        request.call(UNPRICED_MODEL, Usage.from_totals(chance.between(200, 900), chance.between(40, 200)))
        return
    request.begin("document search")
    request.call(EMBEDDING_MODEL, Usage.from_totals(chance.between(12, 60), 0))
    request.tool("fetch_passages", chance.between(15, 120))
    broken = chance.share() < 0.02
    attempts = 3 if broken else 2 if chance.share() < 0.06 else 1
    usage = Usage.from_totals(chance.between(900, 3200), chance.between(120, 420))
    request.call(SEARCH_MODEL, None if broken else usage, attempts=attempts)


def _write_trip_planner(request: Request) -> None:
    chance = request.chance
    request.begin("trip planner")
    size = chance.between(700, 1400)
    for _draft in range(chance.between(1, 3)):
        reasoning, text = chance.between(300, 1900), chance.between(300, 700)
        request.call(PLANNING_MODEL, Usage.from_totals(size, text + reasoning, reasoning_tokens=reasoning), stream=True)
        size += text + chance.between(20, 90)


def _write_review_digest(request: Request) -> None:
    chance = request.chance
    request.begin("review digest")
    size = chance.between(900, 2600)
    request.call(DIGEST_MODEL, Usage.from_totals(size, chance.between(160, 280)), stream=True)
    request.call(SMALL_CHAT_MODEL, Usage.from_totals(size + size // 9, chance.between(140, 240)), stream=True)


def _run_away(request: Request, steps: int) -> list[Step]:
    """A loop that never finds its flight and sends its whole growing history each time."""
    request.begin("trip planner")
    size = 4200
    for _step in range(steps):
        output = request.chance.between(120, 260)
        request.call(RUNAWAY_MODEL, Usage.from_totals(size, output))
        request.tool("search_flights", request.chance.between(200, 1500))
        size += output + request.chance.between(1500, 2100)
    return request.finish()


_WRITERS: Final[Mapping[str, Callable[[Request], None]]] = {
    HOTEL_SEARCH.name: _write_hotel_search,
    SUPPORT_CHAT.name: _write_support_chat,
    DOCUMENT_SEARCH.name: _write_document_search,
    TRIP_PLANNER.name: _write_trip_planner,
    REVIEW_DIGEST.name: _write_review_digest,
}


def past_hours(now: datetime, days: int) -> Iterator[datetime]:
    """Yield the complete UTC hours of the last `days` days, oldest first."""
    last = int(now.timestamp()) // 3600
    for number in range(last - days * 24, last):
        yield datetime.fromtimestamp(number * 3600, UTC)
