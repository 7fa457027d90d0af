"""The HTTP attempts behind one call, for the calls that needed more than one or got nowhere.

An SDK retries inside one call. Each attempt that failed becomes an event of the call's span, and so does the last one
then; a call that went well at once has none, and pays nothing for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from . import names
from .record import AttributeValue, Event, error_type

Billed = Literal["no", "yes", "unknown"]

_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"})
"""Exceptions of the HTTP client after which no provider has seen the request."""
_REFUSED: Final = frozenset({400, 401, 402, 403, 404, 405, 413, 422, 429, 500, 503, 529})
"""Statuses by which a provider refuses before it generates anything."""
_CHARGES_REFUSALS: Final = frozenset({"azure.ai.openai"})
"""Providers that count a request which their content filter refuses with 400."""
_REQUEST_IDS: Final = ("x-request-id", "request-id", "apim-request-id")


def attempt_event(
    number: int,
    time_ns: int,
    latency_ns: int,
    *,
    provider: str,
    response: Any = None,
    error: BaseException | None = None,
    status: int | None = None,
    answered: bool = False,
) -> Event:
    """Describe one attempt, from 1; `answered` is one that brought what was asked for.

    The status is the response's, or else what the SDK's exception says.
    """
    status = getattr(response, "status_code", status)
    attributes: dict[str, AttributeValue] = {
        names.ATTEMPT_NUMBER: number,
        names.ATTEMPT_DURATION_S: latency_ns / 1e9,
        names.ATTEMPT_BILLED: "yes" if answered else billed(provider, status, error),
    }
    if isinstance(status, int):
        attributes[names.HTTP_STATUS] = status
    if error is not None and (not isinstance(status, int) or status < 400):
        attributes[names.ERROR_TYPE] = error_type(error)
    headers = getattr(response, "headers", None)
    if headers is not None:
        for name, keys in ((names.ATTEMPT_REQUEST_ID, _REQUEST_IDS), (names.ATTEMPT_RETRY_AFTER, ("retry-after",))):
            found = next((headers[key] for key in keys if key in headers), None)
            if found:
                attributes[name] = str(found)
    return Event(names.ATTEMPT_EVENT, time_ns, attributes)


def count_uncertain(events: Sequence[Event], *, answered: bool) -> int:
    """Count the failed attempts that may have been billed; the last one failed unless the call was answered."""
    failed = events[:-1] if answered else events
    return sum(event.attributes[names.ATTEMPT_BILLED] != "no" for event in failed)


def billed(provider: str, status: object, error: BaseException | None) -> Billed:
    """Tell whether a failed attempt costs money, as far as providers say.

    What ended after the request was sent and before an answer came may have been generated, and charged, in full.
    """
    if isinstance(status, int) and status >= 400:
        if status == 400 and provider in _CHARGES_REFUSALS:
            return "unknown"
        return "no" if status in _REFUSED else "unknown"
    while error is not None:
        if type(error).__name__ in _NEVER_SENT:
            return "no"
        error = error.__cause__
    return "unknown"
