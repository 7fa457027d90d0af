"""A policy in force inside the test process, before the first call of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanledger import ledger
from spanledger.guard.gate import Gate
from spanledger.guard.store import Account


def write_policy(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    """Write a policy that the next traced call is held against."""
    path = folder / "policy.toml"
    path.write_text(text)
    monkeypatch.setenv("SPANLEDGER_POLICY", str(path))
    return path


def gate() -> Gate:
    """Return the gate in force."""
    worker = ledger.start()
    assert worker is not None
    assert worker.gate is not None
    return worker.gate


def accounts() -> list[Account]:
    """Return all accounts."""
    store = gate().store
    assert store is not None
    return store.accounts()
