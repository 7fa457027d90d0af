"""The store of a policy, as commands open it: shared by processes or hosts, never that of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from spanledger.errors import SpanledgerError
from spanledger.guard.policy import Policy
from spanledger.guard.store import Store, StoreAwayError
from spanledger.guard.stores import open_shared, without_secret
from spanledger.settings import Settings

from .errors import MissingExtraError

PATIENCE_S: Final = 5.0


@contextmanager
def shared_store(command: str, settings: Settings, policy: Policy, of_one_process: str) -> Iterator[Store]:
    """Open the store of a policy for a command; `of_one_process` says what to do where it is in memory.

    Raises:
        SpanledgerError: it is in the application's memory, or away.
        MissingExtraError: it needs an extra.
    """
    if policy.store == "memory":
        raise SpanledgerError(of_one_process)
    try:
        store = open_shared(policy.store, settings.home, PATIENCE_S)
    except ImportError as error:
        raise MissingExtraError(command, "redis", "redis") from error
    try:
        yield store
    except StoreAwayError as error:
        told = without_secret(policy.store)
        raise SpanledgerError(f"the store {told} of {policy.path} can't be reached: {error}") from error
    finally:
        store.close()
