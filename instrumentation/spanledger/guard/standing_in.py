"""Whether another model can stand in for the one that is asked for, and whether it pays: for degrade and the router."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spanledger import faults, names
from spanledger.pricing import price

from .breakeven import why_not_now
from .capabilities import sent_back_to, why_not, why_unlike
from .policy import Degrade
from .wants import THOUGHTS, cached_share

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from spanledger.record import Attributes
    from spanledger.usage import Usage

    from .admission import Admission


def why_not_instead(
    call: Admission,
    body: Mapping[str, Any],
    to: str,
    drop: Sequence[str],
    supports: Sequence[str],
    *,
    changes: bool,
) -> str | None:
    """Say why a call can't, or shouldn't, be made of another model; None where it can.

    `changes`: its session would change the model. What a `[[degrade]]` says of the same two models counts, too.
    """
    if isinstance(call.rewrite, str):
        return call.rewrite
    try:
        return _why_not(call, body, to, dropped(call, to, drop), (*supports, *_said(call, to).supports), changes)
    except Exception as error:
        faults.report("no model stands in for the one that is asked for", error)
        return "what the request asks for can't be read"


def dropped(call: Admission, to: str, drop: Sequence[str]) -> Sequence[str]:
    """Return the parameters that are left out where another model is asked."""
    return (*drop, *_said(call, to).drop)


def _said(call: Admission, to: str) -> Degrade:
    """Return what a `[[degrade]]` says of the two models; nothing where there is none."""
    pairs = (one for one in call.policy.degrades if (one.model, one.to) == (call.model, to))
    return next(pairs, Degrade("", call.model, to))


def _why_not(
    call: Admission, body: Mapping[str, Any], to: str, drop: Sequence[str], supports: Sequence[str], changes: bool
) -> str | None:
    into, out = call.tokens
    wants = sent_back_to(call.model, call.wants)
    if THOUGHTS in wants.features and call.is_at(to):  # they are its own
        wants = wants._replace(features={name: at for name, at in wants.features.items() if name != THOUGHTS})
    why = why_unlike(call.model, to) or why_not(call.provider, to, wants, into, drop, supports)
    if why is not None or not changes or wants.turn == 1:
        return why
    before, size = cached_share(body)
    cached = into * before // size if size else 0
    return why_not_now(call.provider, call.model, to, wants, (into, cached, out), time.time_ns())


def avoided(provider: str, requested: str, usage: Usage, pico: int, at_ns: int) -> Attributes:
    """Say on a span how much more the model that was asked for would have cost, where it would have."""
    before = price(provider, requested, usage, at_ns, itemised=False).cost_pico
    return {names.AVOIDED_PICO_USD: before - pico} if before is not None and before > pico else {}
