"""The policy's entry `[[cache]]`: which calls may be answered from what was answered before, and for how long.

Nothing is kept unless a rule says so, because to keep answers is to keep content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from spanledger import names
from spanledger.guard.policy import WIRE_NAMES, Match
from spanledger.guard.policy_file import Kind, PolicyEntry
from spanledger.tagging import KNOWN

TTL_MS: Final = 3_600_000
NAMESPACE: Final = ("team_id", "feature")
MAX_MB: Final = 256
ENTRIES: Final = 100_000
MAX_WAIT_MS: Final = 10_000
_EMBEDDER: Final = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True, slots=True)
class Semantic:
    """Answers of prompts that mean nearly the same."""

    embedder: str
    """`package.module:function`: takes a text, returns numbers."""
    threshold: Decimal
    """Least cosine similarity."""
    serve: bool = False
    """False only records what would have been served."""
    entries: int = 2000
    """Most prompts that are compared in one namespace, the youngest."""


@dataclass(frozen=True, slots=True)
class CacheRule:
    """Which answers are kept, for whom, and how long."""

    name: str
    match: Match
    ttl_ms: int = TTL_MS
    max_age_ms: int = TTL_MS
    """Oldest answer that is given."""
    namespace: tuple[str, ...] = NAMESPACE
    """Tags that have to be the same for an answer to be shared; keys as in `match`."""
    always: bool = False
    """Also calls that aren't deterministic; otherwise those with temperature 0, and embeddings."""
    tools: bool = False
    """Also calls that offer tools: an answer from the cache asks for the same actions again."""
    max_bytes: int = MAX_MB << 20
    entries: int = ENTRIES
    max_wait_ms: int = MAX_WAIT_MS
    """How long a call waits for the same one that is under way."""
    shadow: bool = False
    semantic: Semantic | None = None

    def namespace_of(self, tags: Mapping[str, str]) -> tuple[str | None, ...]:
        """Return the values that an answer is bound to; a tag that is absent is a value of its own."""
        return tuple(tags.get(KNOWN.get(key) or names.TAG_PREFIX + key) for key in self.namespace)


def _cache(entry: PolicyEntry) -> CacheRule:
    if entry.switch("always") and entry.switch("deterministic_only"):
        raise entry.refuse("always", "is the contrary of deterministic_only; leave out one of them")
    ttl_ms = entry.duration_ms("ttl", TTL_MS)
    if ttl_ms < 1:
        raise entry.refuse("ttl", "expected more than nothing")
    return CacheRule(
        name=entry.text("name"),
        match=entry.match(),
        ttl_ms=ttl_ms,
        max_age_ms=entry.duration_ms("max_age", ttl_ms),
        namespace=_namespace(entry),
        always=entry.switch("always") or entry.given.get("deterministic_only") is False,
        tools=entry.switch("tools"),
        max_bytes=(entry.whole("max_mb") or MAX_MB) << 20,
        entries=entry.whole("entries") or ENTRIES,
        max_wait_ms=entry.duration_ms("max_wait", MAX_WAIT_MS),
        shadow=entry.switch("shadow"),
        semantic=_semantic(entry),
    )


def _namespace(entry: PolicyEntry) -> tuple[str, ...]:
    if "namespace" not in entry.given:
        return NAMESPACE
    keys = entry.texts("namespace")
    for key in keys:
        if key in WIRE_NAMES and key not in KNOWN:
            raise entry.refuse("namespace", f"{key!r} is in the key already; name tags")
    return keys


def _semantic(entry: PolicyEntry) -> Semantic | None:
    given = entry.given.get("semantic")
    if given is None:
        return None
    if not isinstance(given, dict) or set(given) - {"embedder", "threshold", "serve", "entries"}:
        raise entry.refuse("semantic", 'expected a table, as { embedder = "package.module:function" }')
    embedder, serve = given.get("embedder"), given.get("serve", False)
    if not isinstance(embedder, str) or not _EMBEDDER.fullmatch(embedder):
        raise entry.refuse("semantic", 'embedder: expected "package.module:function"')
    if not isinstance(serve, bool):
        raise entry.refuse("semantic", "serve: expected true or false")
    if serve and "threshold" not in given:
        raise entry.refuse("semantic", "threshold: needed where answers are served, as 0.95")
    return Semantic(embedder, _threshold(entry, given.get("threshold", 0.95)), serve, _most(entry, given))


def _threshold(entry: PolicyEntry, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise entry.refuse("semantic", "threshold: expected a number above 0, at most 1")
    return Decimal(str(value))


def _most(entry: PolicyEntry, given: Mapping[str, object]) -> int:
    value = given.get("entries", 2000)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 20_000:
        raise entry.refuse("semantic", "entries: expected a whole number from 1 to 20000")
    return value


KIND: Final = Kind(
    frozenset({"name", "match", "shadow", "ttl", "max_age", "namespace", "always", "deterministic_only", "tools"})
    | {"max_mb", "entries", "max_wait", "semantic"},
    _cache,
)
"""How the policy's file reads an entry."""
