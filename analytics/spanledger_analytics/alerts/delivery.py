"""Sending what was put out: a thread for each receiver, so that neither an evaluation nor another receiver ever waits.

In order for each receiver, tried again for a day with longer and longer pauses. An attempt is counted before it is made
and noted as done after it: who dies between the two sends once more, with the same key (the header Idempotency-Key, and
the Message-ID of a mail), so that a receiver can tell.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from .errors import DeliveryError
from .receivers import address_of, send
from .rules import Receiver, Rules
from .store import Store, Waiting

LOG: Final = logging.getLogger("spanledger.alerts")
_LOOK_S: Final = 1.0
_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(minutes=5)
_GIVE_UP: Final = timedelta(days=1)
_STOP_S: Final = 5.0


class Delivery:
    """The threads of the receivers of some rules."""

    def __init__(self, home: Path, rules: Rules) -> None:
        self._stopping = threading.Event()
        self._wake = {name: threading.Event() for name in rules.receivers}
        self._threads = [
            threading.Thread(target=self._deliver, args=(home, receiver), name=f"to {name}", daemon=True)
            for name, receiver in rules.receivers.items()
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look at once whether something is to be sent."""
        for event in self._wake.values():
            event.set()

    def stop(self) -> None:
        """End when what is being sent is done, or after a few seconds: what is left is sent by the next start."""
        self._stopping.set()
        self.wake()
        for thread in self._threads:
            thread.join(_STOP_S)

    def _deliver(self, home: Path, receiver: Receiver) -> None:
        store = Store(home)
        try:
            while not self._stopping.is_set():
                self._wake[receiver.name].clear()
                if not _deliver_some(store, receiver):
                    self._wake[receiver.name].wait(_LOOK_S)
        finally:
            store.close()


def _deliver_some(store: Store, receiver: Receiver) -> bool:
    try:
        return deliver_next(store, receiver, datetime.now(UTC))
    except sqlite3.Error as error:  # a full disk; what was sent may be sent again, with the same key
        LOG.warning("what was sent to %s can't be noted: %s", receiver.name, error)
        return False


def deliver_next(store: Store, receiver: Receiver, now: datetime) -> bool:
    """Send the oldest notification that waits for a receiver, if it is time; says whether there may be more."""
    waiting = store.next_out(receiver.name)
    if waiting is None or now < waiting.next_try:
        return False
    store.begin_attempt(waiting.key)
    try:
        send(receiver, waiting.payload, waiting.key)
    except DeliveryError as error:
        _failed(store, receiver, waiting, error, now)
    except Exception as error:  # whatever a receiver's library raises must not end the thread
        _failed(store, receiver, waiting, DeliveryError(type(error).__name__), now)
    else:
        store.sent(waiting.key, now)
    return True


def _failed(store: Store, receiver: Receiver, waiting: Waiting, error: DeliveryError, now: datetime) -> None:
    where = f"{receiver.name} ({address_of(receiver)})"
    if error.for_good or now - waiting.made_at > _GIVE_UP:
        LOG.error("%s was not told, and won't be: %s", where, error)
        store.sent(waiting.key, now, str(error))
        return
    pause = min(_FIRST_PAUSE * 2 ** min(waiting.attempts, 16), _LONGEST_PAUSE)
    LOG.warning("%s was not told: %s; trying again in %.0f s", where, error, pause.total_seconds())
    store.put_off(waiting.key, now + pause, str(error))
