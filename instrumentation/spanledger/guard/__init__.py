"""Controls: budgets, limits and breakers that hold a call up before it is sent.

Nothing of it is loaded where the settings name no policy.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threading import Event

    from spanledger.settings import Settings

    from .gate import Gate


def policy_path(settings: Settings) -> Path | None:
    """Return the policy that the settings name, or that stands in the home folder; None where there is none."""
    if settings.policy:
        return Path(settings.policy).expanduser()
    path = settings.home / "policy.toml"
    return path if path.is_file() else None


def make_gate(settings: Settings, ready: Event) -> Gate | None:
    """Return what holds calls against the policy, once prices are `ready`; None where there is none."""
    path = policy_path(settings)
    if path is None:
        return None
    gate: Gate = import_module(".gate", __name__).Gate(path, settings, ready)
    return gate
