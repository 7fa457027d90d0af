"""Bringing bodies to the collector, at once or, when it is away, later.

One failed attempt sends the body to the spool and closes the door for a while, longer each time, so that a collector
that hangs costs a time-out now and then and not one for every batch.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final, Literal, cast

from . import faults
from .settings import Settings
from .spool import Kept, Spool
from .transport import AwayError, RefusedError, connect, target

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
HURRY_TIMEOUT_S: Final = 1.5
"""For an attempt that someone waits for: shorter than the wait at exit."""
_SPOOLED_PER_ROUND: Final = 64

Haste = Literal["none", "call", "now"]
"""How much an attempt hurries: not at all; a short time-out, because a call waits for it; that, and whatever the last
attempt came to, because someone asked for it."""


class Delivery:
    """Sends bodies, or keeps them; used by one thread."""

    def __init__(self, settings: Settings) -> None:
        to = target(settings)
        self._transport = connect(to)
        self._timeout_s = to.timeout_s
        self._spool = Spool(settings.home / "spool")
        self._pause_s = 0.0
        self._closed_until = 0.0
        self._more_spooled = True
        self._unseen = False

    def deliver(self, body: bytes, haste: Haste = "none") -> bool:
        """Send a body, or keep it; True if the collector has it, and all that was kept before."""
        if (time.monotonic() < self._closed_until and haste != "now") or not self._try(body, haste):
            self.keep(body)
            return False
        return self.send_spooled(haste)

    def send_spooled(self, haste: Haste = "none") -> bool:
        """Send what this process, or any other on this machine, could not; True if nothing is left."""
        if haste == "call" or (time.monotonic() < self._closed_until and haste != "now"):
            return not self._more_spooled
        while self._more_spooled:
            with self._spool.oldest_first(_SPOOLED_PER_ROUND) as kept:
                if kept is None:
                    self._pause()
                    return False
                stuck = True
                for item in kept:
                    if not self._try(item.body, haste) or not self._forget(item):
                        return False
                    stuck = False
            self._more_spooled = self._spool.has_any()
            if stuck and self._more_spooled:  # what is left cannot be read
                self._pause()
                return False
            if haste != "now":
                break  # fresh spans may be waiting
        return not self._more_spooled

    def retry_in_s(self) -> float | None:
        """Seconds until kept bodies are worth another attempt; None when there are none."""
        return max(0.05, self._closed_until - time.monotonic()) if self._more_spooled else None

    def keep(self, body: bytes) -> None:
        """Put a body into the spool."""
        self._spool.keep(body)
        self._more_spooled = True

    def give_up(self) -> None:
        """Count what cannot outlive this process."""
        self._spool.give_up()

    def disconnect(self) -> None:
        """Let go of the connection, at the end of the process or in a child that has inherited it."""
        try:
            self._transport.close()
        except Exception as error:
            faults.report("connection not closed", error)

    def _try(self, body: bytes, haste: Haste) -> bool:
        """Attempt once; True unless the body must be kept."""
        if not self._unseen:
            self._unseen = _hide_from_opentelemetry()
        try:
            self._transport.send(body, self._timeout_s if haste == "none" else HURRY_TIMEOUT_S)
        except RefusedError as error:
            faults.report("batch lost, the collector refuses it", error, expected=True)
        except AwayError as error:
            faults.report("collector away, spans are kept", error, expected=True)
            self._pause()
            return False
        except Exception as error:
            faults.report("collector not reached, spans are kept", error)
            self._pause()
            return False
        self._pause_s = self._closed_until = 0.0
        return True

    def _forget(self, item: Kept) -> bool:
        try:
            item.forget()
        except OSError as error:
            faults.report("spooled batch sent, and left to be sent again", error, expected=True)
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._closed_until = time.monotonic() + self._pause_s


def _hide_from_opentelemetry() -> bool:
    """Keep our requests out of the traces of an application that traces its HTTP clients; True once that holds.

    For this thread only, and without importing OpenTelemetry: who has not imported it traces nothing with it.
    """
    context = cast("Any", sys.modules.get("opentelemetry.context"))
    key = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", None)  # its last line but a few, so all of it is there
    if key is None:
        return False
    context.attach(context.set_value(key, True))
    return True
