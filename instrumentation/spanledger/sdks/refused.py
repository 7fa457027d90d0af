"""What an application gets of a call that a rule of its own stopped: the error that its SDK has for a provider's 429.

The SDK's module is looked up, never imported: LiteLLM speaks the protocols of SDKs that need not be there.
"""

from __future__ import annotations

import sys
from typing import Any

from spanledger.errors import Refusal
from spanledger.guard import refusals


def by_openai(refusal: Refusal) -> BaseException:
    """Make openai's RateLimitError."""
    return _status_error("openai", refusal)


def by_anthropic(refusal: Refusal) -> BaseException:
    """Make anthropic's RateLimitError."""
    return _status_error("anthropic", refusal)


def by_google(refusal: Refusal) -> BaseException:
    """Make google-genai's ClientError, which it raises for a 429."""

    def make(errors: Any) -> BaseException:
        told = {"code": 429, "message": str(refusal), "status": "RESOURCE_EXHAUSTED"}
        own: BaseException = refusals.mixed(type(refusal), errors.ClientError)(429, {"error": told})
        return refusals.told(own, refusal)

    return _made("google.genai.errors", make, refusal)


def by_botocore(refusal: Refusal) -> BaseException:
    """Make botocore's ClientError, as it is raised for a ThrottlingException."""

    def make(exceptions: Any) -> BaseException:
        response = {
            "Error": {"Code": "ThrottlingException", "Message": str(refusal)},
            "ResponseMetadata": {"HTTPStatusCode": 429, "RetryAttempts": 0},
        }
        own: BaseException = refusals.mixed(type(refusal), exceptions.ClientError)(response, "InvokeModel")
        return refusals.told(own, refusal)

    return _made("botocore.exceptions", make, refusal)


def by_litellm(refusal: Refusal) -> BaseException:
    """Make what LiteLLM's HTTP handlers raise for a 429, of which it makes an error of its own."""

    def make(httpx: Any) -> BaseException:
        request = httpx.Request("POST", "spanledger:policy")
        response = httpx.Response(429, headers=refusals.headers(refusal), text=str(refusal), request=request)
        own: Any = refusals.mixed(type(refusal), httpx.HTTPStatusError)(
            str(refusal), request=request, response=response
        )
        own.message = own.text = str(refusal)
        return refusals.told(own, refusal)

    return _made("httpx", make, refusal)


def _status_error(module: str, refusal: Refusal) -> BaseException:
    return _made(module, lambda sdk: refusals.status_error(sdk, refusal), refusal)


def _made(module: str, make: Any, refusal: Refusal) -> BaseException:
    sdk = sys.modules.get(module)
    return refusals.dressed(lambda _: make(sdk), refusal) if sdk is not None else refusal
