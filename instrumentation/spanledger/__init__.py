"""spanledger: what every LLM call costs, who caused it, and what to do about it.

Importing this package imports the standard library only; each public name is loaded when it is first used,
because an application imports us for `tags` long before, or without, making an LLM call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .charges import charge
    from .configuration import configure
    from .deferral import defer
    from .errors import BreakerOpen, BudgetExceeded, LimitExceeded
    from .guard.cache.steps import cached_step
    from .ledger import flush
    from .outcomes import outcome
    from .spans import span
    from .tagging import tags

__all__ = [
    "BreakerOpen",
    "BudgetExceeded",
    "LimitExceeded",
    "cached_step",
    "charge",
    "configure",
    "defer",
    "flush",
    "outcome",
    "span",
    "tags",
]

_HOMES: Final = {
    "BreakerOpen": "errors",
    "BudgetExceeded": "errors",
    "LimitExceeded": "errors",
    "cached_step": "guard.cache.steps",
    "charge": "charges",
    "configure": "configuration",
    "defer": "deferral",
    "flush": "ledger",
    "outcome": "outcomes",
    "span": "spans",
    "tags": "tagging",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
