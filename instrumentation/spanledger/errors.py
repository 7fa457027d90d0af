"""Errors that spanledger raises.

SpanledgerError
├── SettingError        a setting that cannot be read; raised at start, never inside a user's call
└── Refusal             a call that a rule of yours stopped before it was sent; also the SDK's own RateLimitError
    ├── BudgetExceeded  there is no money left for it
    ├── LimitExceeded   too many at a time; may be tried again after `retry_after_s`
    └── BreakerOpen     spending ran away, and the breaker that watches it is open
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal


class SpanledgerError(Exception):
    """Base of every error of ours; the message says what to do next."""


class SettingError(SpanledgerError):
    """A setting that cannot be read."""

    def __init__(self, where: str, value: str, advice: str) -> None:
        self.where = where
        self.value = value
        self.advice = advice
        shown = f" = {value!r}" if value else ""
        super().__init__(f"{where}{shown}: {advice}")


class Refusal(SpanledgerError):
    """A call that a rule stopped before anything was sent; only rules of the application's own policy do that."""

    status_code = 429
    policy: str
    """Name of the rule."""
    scope: str
    """Whom it counted, as `user_id=ann`; `everything` where it makes no difference."""
    action: str
    """block | defer: one that is put off can be handed to `spanledger.defer`."""
    unit: str
    """usd | tokens | calls, of the amounts."""
    limit: Decimal | None
    spent: Decimal | None
    held: Decimal | None
    """What calls under way may still spend."""
    resets_at: datetime | None
    """When the window ends, UTC."""
    retry_after_s: float | None
    """When it is worth another try; None is not known."""

    def __init__(
        self,
        message: str,
        *,
        policy: str,
        scope: str,
        action: str = "block",
        unit: str = "usd",
        limit: Decimal | None = None,
        spent: Decimal | None = None,
        held: Decimal | None = None,
        resets_at: datetime | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.policy = policy
        self.scope = scope
        self.action = action
        self.unit = unit
        self.limit = limit
        self.spent = spent
        self.held = held
        self.resets_at = resets_at
        self.retry_after_s = retry_after_s


class BudgetExceeded(Refusal):
    """There is no money left for the call; trying again before `resets_at` does not help."""


class LimitExceeded(Refusal):
    """Calls come too fast, or too many at a time; trying again after `retry_after_s` may help."""


class BreakerOpen(Refusal):
    """Spending ran away, and the breaker that watches it is open."""
