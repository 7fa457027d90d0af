"""Whether another model can stand in for the one that is asked for, and whether it pays: for degrade and the router."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .breakeven import why_not_now
from .capabilities import why_not
from .wants import cached_share

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

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
    if call.rewrite is None:
        return "requests of this SDK can't be changed"
    pair = next((one for one in call.policy.degrades if (one.model, one.to) == (call.model, to)), None)
    if pair is not None:
        drop, supports = (*drop, *pair.drop), (*supports, *pair.supports)
    into, out = call.tokens
    why = why_not(call.provider, to, call.wants, into, drop, supports)
    if why is not None or not changes or call.wants.turn == 1:
        return why
    before, size = cached_share(body)
    cached = into * before // size if size else 0
    return why_not_now(call.provider, call.model, to, call.wants, (into, cached, out), time.time_ns())
