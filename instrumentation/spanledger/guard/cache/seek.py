"""Seeking one key: it is kept, or about to be by somebody else, or it is for the seeker to make."""

from __future__ import annotations

import time
from functools import partial
from typing import Final, TypeAlias

from spanledger import faults
from spanledger.admit import in_thread

from .answers import Answers, Bound
from .entry import Entry, pack, unpack
from .flights import Flight, Seeker, board, seeker

_CLOCKS_MS: Final = 5_000
"""How far the clocks of those who share a store may be apart."""
_Found: TypeAlias = Entry | Flight | None


class Seek:
    """A key that somebody looks for; `end` has to come after a `find` that found nothing."""

    __slots__ = ("_answers", "_bound", "_flight", "_max_age_ms", "_ttl_ms", "_waits_s", "key")

    def __init__(
        self, answers: Answers, key: bytes, bound: Bound, *, ttl_ms: int, max_age_ms: int, waits_s: float | None
    ) -> None:
        """Prepare to look; with `waits_s` None nobody waits for this one, nor it for others."""
        self._answers = answers
        self.key = key
        self._bound = bound
        self._ttl_ms = ttl_ms
        self._max_age_ms = max_age_ms
        self._waits_s = waits_s
        self._flight: Flight | None = None
        """The one that others wait for, if the seeker is who makes it."""

    def find(self) -> Entry | None:
        """Return what is kept, or what a thread or task that makes it now comes back with, within the time to wait."""
        found = self._look(seeker())
        return found.wait(self._waits_s or 0) if isinstance(found, Flight) else found

    async def find_async(self) -> Entry | None:
        """Return what is kept, or is made now, without holding up the event loop."""
        look = partial(self._look, seeker())
        found = await in_thread(look) if self._answers.blocks else look()
        return await found.wait_async(self._waits_s or 0) if isinstance(found, Flight) else found

    def _look(self, by: Seeker) -> _Found:
        entry = self.kept_under(self.key)
        if entry is not None or self._waits_s is None:
            return entry
        flight, leads = board(self.key, by)
        if not leads:
            return flight
        self._flight = flight
        entry = self.kept_under(self.key)  # again: the one before may have landed in between
        if entry is not None:
            self.land(entry)
        return entry

    def kept_under(self, key: bytes) -> Entry | None:
        """Return what is kept under another key, as old as it may be under this one."""
        now_ms = time.time_ns() // 1_000_000
        kept = self._answers.get(key, now_ms)
        if kept is None:
            return None
        try:
            entry = unpack(kept.data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            faults.report("a kept answer can't be read", error, expected=True)
            return None
        return entry if -_CLOCKS_MS <= now_ms - entry.made_ms <= self._max_age_ms else None

    def end(self, entry: Entry | None) -> None:
        """Keep what was made, if it is to be kept, and let go of those who wait for it; never raises."""
        try:
            if entry is not None:
                now_ms = time.time_ns() // 1_000_000
                self._answers.put(self.key, pack(entry), entry.made_ms + self._ttl_ms, now_ms, self._bound)
        except Exception as error:
            faults.report("an answer is not kept", error)
        self.land(entry)

    def land(self, entry: Entry | None) -> None:
        """Let go of those who wait, with what they get."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.land(entry)
