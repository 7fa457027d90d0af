"""The sliding window of a rate: what this window has, and of the one before as much as still lies in the last minute.

That is how the library `limits` counts in its SlidingWindowCounter, here in whole numbers and with a way back: what was
counted too high is taken out again. It needs two numbers an account, however many tokens a call has. A clock that goes
back less than a window changes nothing; one that goes back further starts anew, or a minute set wrong for a moment
would refuse calls until that minute comes.
"""

from __future__ import annotations

from typing import NamedTuple


class Slid(NamedTuple):
    """A rate's windows at a moment."""

    current: int
    previous: int
    slot: int
    """Of the current window: windows since 1970."""
    left: int
    """Milliseconds of the window before that still count."""

    def used(self, window_ms: int) -> int:
        """Return what counts."""
        return self.previous * self.left // window_ms + self.current


def slide(current: int, previous: int, slot: int, window_ms: int, now_ms: int) -> Slid:
    """Move a rate's windows to a moment."""
    at, elapsed = divmod(now_ms, window_ms)
    if at == slot:
        return Slid(current, previous, slot, window_ms - elapsed)
    if at == slot + 1:
        return Slid(0, current, at, window_ms - elapsed)
    if at == slot - 1:
        return Slid(current, previous, slot, window_ms)
    return Slid(0, 0, at, window_ms - elapsed)


def corrected(slid: Slid, difference: int, counted_slot: int) -> tuple[int, int]:
    """Return the current and the previous window, right by a difference to what was counted in a window.

    More than was counted counts now; less is taken back where it was counted, if that is still known.
    """
    if difference > 0 or counted_slot == slid.slot:
        return max(0, slid.current + difference), slid.previous
    if counted_slot == slid.slot - 1:
        return slid.current, max(0, slid.previous + difference)
    return slid.current, slid.previous


def room_in_ms(slid: Slid, window_ms: int, amount: int, cap: int, now_ms: int) -> int:
    """Return after how many milliseconds an amount has room if nothing else comes; -1 for never."""
    most = cap - amount
    if most < 0:
        return -1
    # A clock that went back is before the window that counts.
    ahead = (slid.slot + 1) * window_ms - slid.left - now_ms
    if slid.current > most:
        fits = ((most + 1) * window_ms - 1) // slid.current
        return ahead + slid.left + max(0, window_ms - fits)
    if not slid.previous:
        return 0
    fits = ((most - slid.current + 1) * window_ms - 1) // slid.previous
    return max(0, ahead + slid.left - fits)
