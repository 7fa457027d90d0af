"""What the calls inside a step cost together: that is what is saved each time that its result is given again."""

from __future__ import annotations

import threading

from .answers import Answers


class Tally:
    """The sum of one run; counts on after the result is kept, as costs are known only once a call is recorded."""

    def __init__(self, outer: Tally | None) -> None:
        self._outer = outer
        self._lock = threading.Lock()
        self._pico: int | None = 0
        """None once a call's cost is not known."""
        self._kept: tuple[Answers, bytes] | None = None

    def add(self, pico: int | None) -> None:
        """Count a call's cost in pico-dollars, here and in what this is a step of; None is not known."""
        with self._lock:
            self._pico = None if self._pico is None or pico is None else self._pico + pico
            told = self._pico
            kept = self._kept
        if kept is not None:
            kept[0].set_avoids(kept[1], told)
        if self._outer is not None:
            self._outer.add(pico)

    def keep(self, answers: Answers, key: bytes) -> None:
        """Note under which key the result is kept; what was counted so far is said there."""
        with self._lock:
            self._kept = answers, key
            told = self._pico
        answers.set_avoids(key, told)
