"""Refusals as the SDKs' own errors, so that what an application does about a provider's 429 works for ours.

The class is made when an SDK's first call is refused, of ours and the SDK's. Money that is gone says
`x-should-retry: false`, as nothing is gained by another try; a rate says when to come back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import ceil
from typing import Any, Final

from spanledger import faults
from spanledger.errors import LimitExceeded, Refusal

_FIELDS: Final = (
    "policy",
    "scope",
    "action",
    "unit",
    "limit",
    "spent",
    "held",
    "resets_at",
    "retry_after_s",
)
_mixed: Final[dict[tuple[type[Refusal], type[BaseException]], type[Any]]] = {}
Dress = Callable[[Refusal], BaseException]
"""Makes the SDK's own error of a refusal."""


def as_it_is(refusal: Refusal) -> BaseException:
    """Return the refusal itself, where the SDK has no error of that kind."""
    return refusal


def dressed(dress: Dress, refusal: Refusal) -> BaseException:
    """Return a refusal as the SDK's own error; as it is, where that can't be made."""
    try:
        return dress(refusal)
    except Exception as error:
        faults.report("a refusal is not the SDK's own error", error)
        return refusal


def status_error(module: Any, refusal: Refusal) -> BaseException:
    """Make a RateLimitError of openai or anthropic, with the response that a server would have sent."""
    httpx = _httpx(module)
    response = httpx.Response(429, headers=headers(refusal), request=httpx.Request("POST", "spanledger:policy"))
    own: BaseException = mixed(type(refusal), module.RateLimitError)(
        str(refusal), response=response, body=_body(refusal)
    )
    return told(own, refusal)


def mixed(ours: type[Refusal], theirs: type[BaseException]) -> type[Any]:
    """Return the class that is both; what it is made with is the SDK's."""
    kind = _mixed.get((ours, theirs))
    if kind is None:
        kind = _mixed[ours, theirs] = _mix(ours, theirs)
    return kind


def _mix(ours: type[Refusal], theirs: type[BaseException]) -> type[Any]:

    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        theirs.__init__(self, *args, **kwargs)

    return type(ours.__name__, (ours, theirs), {"__init__": make, "__module__": "spanledger", "__doc__": ours.__doc__})


def told(own: BaseException, refusal: Refusal) -> BaseException:
    """Give an error all that a refusal says."""
    for name in _FIELDS:
        setattr(own, name, getattr(refusal, name))
    return own


def code(refusal: Refusal) -> str:
    """Return the word that providers have for it."""
    return "rate_limit_exceeded" if isinstance(refusal, LimitExceeded) else "insufficient_quota"


def headers(refusal: Refusal) -> dict[str, str]:
    """Return the headers that a server's refusal would have."""
    found = {"x-should-retry": "true" if isinstance(refusal, LimitExceeded) else "false"}
    if refusal.retry_after_s is not None:
        found["retry-after"] = str(max(1, ceil(refusal.retry_after_s)))
    return found


def _body(refusal: Refusal) -> dict[str, str]:
    return {"message": str(refusal), "type": code(refusal), "code": code(refusal), "policy": refusal.policy}


def _httpx(sdk: Any) -> Any:
    """Return the HTTP library that an SDK's errors are made with: httpx, or its successor."""
    home = sys.modules[f"{sdk.__name__}._exceptions"]
    return getattr(home, "httpx2", None) or vars(home)["httpx"]
