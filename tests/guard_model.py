"""The ledger of budgets and limits in plain Python, slow and obvious: what the stores are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from spanledger.guard.store import Account, Balance, Charge, Line, Reserved, Unit

LEASE = 120_000
DAY = 86_400_000


@dataclass
class Entry:
    line: Line
    spent: int = 0
    held: int = 0
    flagged: int = 0
    slot: int = 0
    windows: dict[int, int] = field(default_factory=dict)
    """Of a rate: window to what it has."""

    def move(self, now: int) -> None:
        """Look at a rate now."""
        at = now // self.line.window_ms
        if at == self.slot - 1:
            return  # the clock went back a little
        kept = (at, at - 1) if at in (self.slot, self.slot + 1) else ()
        self.windows = {slot: amount for slot, amount in self.windows.items() if slot in kept}
        self.slot = at

    def used(self, now: int) -> int:
        """What counts of a rate, without changing it."""
        seen = Entry(self.line, slot=self.slot, windows=dict(self.windows))
        seen.move(now)
        window = self.line.window_ms
        left = window - now % window if seen.slot == now // window else window
        before = Fraction(seen.windows.get(seen.slot - 1, 0) * left, window)
        return int(before) + seen.windows.get(seen.slot, 0)

    def add(self, amount: int, slot: int) -> None:
        self.windows[slot] = max(0, self.windows.get(slot, 0) + amount)

    def balance(self, now: int) -> Balance:
        return Balance(self.used(now), 0) if self.line.kind == "rate" else Balance(self.spent, self.held)


@dataclass
class Call:
    lines: Sequence[Line]
    at: int
    expires: int
    state: str = "unsent"
    usd: int = 0
    tokens: int = 0
    flagged: bool = False

    @property
    def is_live(self) -> bool:
        return self.state in ("unsent", "sent")

    def actual(self, line: Line) -> int:
        return {"usd": self.usd, "tokens": self.tokens, "calls": line.amount}[line.unit]

    def counts(self, line: Line) -> tuple[int, int, int]:
        """What it counts for in an account: held, spent (or in a rate), flagged."""
        if line.kind == "rate":
            if self.state == "settled":
                return 0, self.actual(line), 0
            is_over = self.state in ("returned", "released")
            return 0, 0 if is_over and line.unit != "calls" else line.amount, 0
        if self.is_live:
            return line.amount, 0, 0
        if line.kind == "lease" or self.state in ("returned", "released"):
            return 0, 0, 0
        if self.state == "charged":
            return 0, line.amount, line.amount
        return 0, self.actual(line), self.actual(line) if self.flagged else 0


class Model:
    """A store; see `Store`."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.calls: dict[str, Call] = {}

    def reserve(self, call: str, lines: Sequence[Line], now: int) -> Reserved:
        if call in self.calls:
            return Reserved(self._balances(lines, now))
        place = self._refused(lines, now)
        if place >= 0:
            self._expire(now)
            place = self._refused(lines, now)
        if place >= 0:
            return Reserved(self._balances(lines, now), place, self._wait(lines[place], now))
        for line in lines:
            entry = self.entries.setdefault(line.key, Entry(line))
            if line.kind == "rate":
                entry.move(now)
                entry.add(line.amount, entry.slot)
            else:
                entry.held += line.amount
        self.calls[call] = Call(lines, now, now + LEASE)
        return Reserved(self._balances(lines, now))

    def _refused(self, lines: Sequence[Line], now: int) -> int:
        for place, line in enumerate(lines):
            if line.cap >= 0 and sum(self._entry(line).balance(now)) + line.amount > line.cap:
                return place
        return -1

    def _entry(self, line: Line) -> Entry:
        return self.entries.get(line.key, Entry(line))

    def _balances(self, lines: Sequence[Line], now: int) -> tuple[Balance, ...]:
        return tuple(self._entry(line).balance(now) for line in lines)

    def _wait(self, line: Line, now: int) -> int:
        """Search the first moment at which a rate has room."""
        if line.kind != "rate":
            return 0
        if line.amount > line.cap:
            return -1
        low, high = 0, 4 * line.window_ms
        while low < high:
            middle = (low + high) // 2
            if self._entry(line).used(now + middle) + line.amount <= line.cap:
                high = middle
            else:
                low = middle + 1
        return low

    def sent(self, call: str) -> None:
        if (found := self.calls.get(call)) and found.state == "unsent":
            found.state = "sent"

    def settle(self, call: str, usd: int, tokens: int, now: int, flagged: bool) -> bool:
        found = self.calls.get(call)
        if found is None or found.state == "settled":
            return False
        self._become(found, now, "settled", usd, tokens, flagged)
        return True

    def release(self, call: str, now: int) -> bool:
        found = self.calls.get(call)
        if found is None or not found.is_live:
            return False
        self._become(found, now, "released")
        del self.calls[call]
        return True

    def confirm(self, call: str, usd: int, tokens: int) -> bool:
        found = self.calls.get(call)
        if found is None or found.state not in ("settled", "charged"):
            return False
        found.lines = [line for line in found.lines if line.kind == "budget"]
        self._become(found, found.at, "settled", usd, tokens)
        del self.calls[call]
        return True

    def _become(self, call: Call, now: int, state: str, usd: int = 0, tokens: int = 0, flagged: bool = False) -> None:
        before = [call.counts(line) for line in call.lines]
        call.state, call.usd, call.tokens, call.flagged = state, usd, tokens, flagged
        for line, old in zip(call.lines, before, strict=True):
            held, spent, flags = (after - was for after, was in zip(call.counts(line), old, strict=True))
            if entry := self.entries.get(line.key):
                if line.kind == "rate" and spent:
                    entry.move(now)
                    counted = call.at // line.window_ms
                    if spent > 0 or counted == entry.slot:
                        entry.add(spent, entry.slot)
                    elif counted == entry.slot - 1:
                        entry.add(spent, counted)
                elif line.kind != "rate":
                    entry.held += held
                    entry.spent = max(0, entry.spent + spent)
                    entry.flagged = max(0, entry.flagged + flags)

    def renew(self, calls: Sequence[str], now: int) -> None:
        for call in calls:
            if (found := self.calls.get(call)) and found.is_live:
                found.expires = now + LEASE

    def sweep(self, now: int) -> int:
        for call in self.calls.values():
            if call.is_live:
                call.expires = min(call.expires, now + 2 * LEASE)
        ended = self._expire(now)
        self.calls = {name: call for name, call in self.calls.items() if call.is_live or call.at > now - 8 * DAY}
        self.entries = {key: entry for key, entry in self.entries.items() if not self._is_over(entry, now)}
        return ended

    def _expire(self, now: int) -> int:
        expired = [call for call in self.calls.values() if call.is_live and call.expires <= now]
        for call in expired:
            if call.state == "unsent":
                self._become(call, now, "returned")
            else:
                budgets = [line for line in call.lines if line.kind == "budget"]
                usd, tokens = (
                    max([line.amount for line in budgets if line.unit == unit], default=0) for unit in ("usd", "tokens")
                )
                self._become(call, now, "charged", usd, tokens, True)
        return len(expired)

    def _is_over(self, entry: Entry, now: int) -> bool:
        if entry.line.kind == "rate":
            return now // entry.line.window_ms > entry.slot + 1
        if entry.held:
            return False
        return entry.line.kind == "lease" or 0 < entry.line.until_ms <= now - 3 * DAY

    def set_spent(self, key: str, spent: int, until: int, unit: Unit, expected: int | None) -> bool:
        if expected is not None and (self.entries[key].spent if key in self.entries else 0) != expected:
            return False
        entry = self.entries.setdefault(key, Entry(Line(key, "budget", unit, 0, 0, until)))
        entry.spent, entry.flagged = spent, 0
        return True

    def raise_spent(self, key: str, spent: int, until: int, unit: Unit) -> None:
        entry = self.entries.setdefault(key, Entry(Line(key, "budget", unit, 0, 0, until)))
        entry.spent = max(entry.spent, spent)

    def accounts(self) -> list[Account]:
        return [
            Account(
                key,
                entry.line.kind,
                entry.line.unit,
                entry.windows.get(entry.slot, 0) if entry.line.kind == "rate" else entry.spent,
                entry.held,
                entry.flagged,
                entry.line.until_ms if entry.line.kind == "budget" else 0,
            )
            for key, entry in sorted(self.entries.items())
        ]

    def charges(self, before: int, limit: int, after: Charge | None) -> list[Charge]:
        found = [
            Charge(name, call.at, call.usd, call.tokens, call.flagged)
            for name, call in self.calls.items()
            if call.state in ("settled", "charged") and call.at < before
        ]
        found.sort(key=_order)
        return [charge for charge in found if after is None or _order(charge) > _order(after)][:limit]


def _order(charge: Charge) -> tuple[int, str]:
    return charge.at_ms, charge.call
