"""The LLM SDKs that are wrapped, and how: at the one method through which all calls of an SDK go.

Wrapping that method rather than every resource's own covers helpers, raw responses and betas alike, and sees a call
once however often it is retried.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import _spanledger_boot as switch
from spanledger import bodies, faults, stream
from spanledger.call import Call, begin, in_flight
from spanledger.sdk import Sdk

from .inherited import replace_everywhere
from .wrapping import replace

HOMES: Final = {
    "anthropic._base_client": "anthropic_sdk",
    "botocore.client": "bedrock_sdk",
    "google.genai._api_client": "google_sdk",
    "litellm.llms.custom_httpx.http_handler": "litellm_sdk",
    "openai._base_client": "openai_sdk",
    "openai.resources.beta.realtime.realtime": "openai_live",
    "openai.resources.beta.responses.responses": "openai_live",
    "openai.resources.live.live": "openai_live",
    "openai.resources.realtime.realtime": "openai_live",
    "openai.resources.responses.responses": "openai_live",
}
"""SDK module to the module here that knows it."""


def wrap(module: ModuleType) -> None:
    """Wrap the clients of an SDK; does nothing where they are wrapped already."""
    home = importlib.import_module(f".{HOMES[module.__name__]}", __name__)
    if hasattr(home, "wrap"):
        home.wrap(module)
        return
    sdk: Sdk = home.SDK
    replace_everywhere(module.SyncAPIClient, "request", functools.partial(_sync_request, sdk))
    replace_everywhere(module.AsyncAPIClient, "request", functools.partial(_async_request, sdk))
    if hasattr(module.BaseClient, "_build_request"):
        replace(module.BaseClient, "_build_request", _count_attempt)
    if hasattr(module.SyncAPIClient, "_sleep_for_retry") and hasattr(module.AsyncAPIClient, "_sleep_for_retry"):
        replace(module.SyncAPIClient, "_sleep_for_retry", _note_retry)
        replace(module.AsyncAPIClient, "_sleep_for_retry", _note_retry)


class _Attempt:
    """Holds the call in flight while the SDK is at work; due again where a server refused what we added."""

    __slots__ = ("_call", "_options", "_token", "due")

    def __init__(self, call: Call, options: Any) -> None:
        self._call = call
        self._options = options
        self.due = True

    def __enter__(self) -> None:
        self._token = in_flight.set(self._call)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        # In line, and not by `suppress`: this runs for every call.
        try:  # noqa: SIM105
            in_flight.reset(self._token)
        except ValueError:
            pass  # a coroutine may be closed in another context than it ran in, and then there is nothing to undo
        if error is None:
            self.due = False
            return False
        self.due = self._call.withdraw_usage(self._options, error)
        if not self.due:
            self._call.fail(error)
        return self.due


def _sync_request(sdk: Sdk, plain: Callable[..., Any]) -> Callable[..., Any]:
    def request(client: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call = begin(sdk, client, options, bool(kwargs.get("stream"))) if switch.on else None
        if call is None:
            result = plain(client, cast_to, options, *args, **kwargs)
            if sdk.look_back is not None and switch.on:
                _look_back(sdk, client, options, result, asynchronous=False)
            return result
        result, attempt = None, _Attempt(call, options)
        while attempt.due:
            with attempt:
                result = plain(client, cast_to, options, *args, **kwargs)
        _settle(call, result, asynchronous=False)
        return result

    return request


def _async_request(sdk: Sdk, plain: Callable[..., Any]) -> Callable[..., Any]:
    async def request(client: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call = begin(sdk, client, options, bool(kwargs.get("stream"))) if switch.on else None
        if call is None:
            result = await plain(client, cast_to, options, *args, **kwargs)
            if sdk.look_back is not None and switch.on:
                _look_back(sdk, client, options, result, asynchronous=True)
            return result
        result, attempt = None, _Attempt(call, options)
        while attempt.due:
            with attempt:
                result = await plain(client, cast_to, options, *args, **kwargs)
        _settle(call, result, asynchronous=True)
        return result

    return request


def _count_attempt(plain: Callable[..., Any]) -> Callable[..., Any]:
    def build(client: Any, *args: Any, **kwargs: Any) -> Any:
        call = in_flight.get()
        if call is not None:
            call.attempt()
        return plain(client, *args, **kwargs)

    return build


def _note_retry(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Watch the pause before another attempt: nothing of an attempt that goes well passes here."""

    def sleep_for_retry(client: Any, *args: Any, **kwargs: Any) -> Any:
        call = in_flight.get()
        if call is not None:
            response = kwargs.get("response")
            call.retry(response, None if response is not None else sys.exc_info()[1])
        return plain(client, *args, **kwargs)

    return sleep_for_retry


def _look_back(sdk: Sdk, client: Any, options: Any, result: Any, *, asynchronous: bool) -> None:
    try:
        if sdk.look_back is not None:
            sdk.look_back(client, options, result, asynchronous)
    except Exception as error:
        faults.report("what was paid for later is not recorded", error)


def _settle(call: Call, result: Any, *, asynchronous: bool) -> None:
    """Read what the SDK returned, now or as the application reads it; the result itself stays as it is."""
    try:
        if hasattr(type(result), "__pydantic_validator__"):
            # A model; asking it for what it doesn't have is dear.
            call.read(result)
            return
        response = getattr(result, "http_response", None)
        if response is None and hasattr(result, "iter_bytes") and hasattr(result, "http_version"):
            response = result
        if response is not None:
            if hasattr(response, "_content"):
                bodies.read_content(call, response)
            else:
                stream.watch_raw(response, call, asynchronous=asynchronous)
        elif call.stream and hasattr(result, "_iterator"):
            stream.watch(result, call, asynchronous=asynchronous)
        else:
            call.read(result)
    except Exception as error:
        faults.report("response recorded without its usage", error)
        call.finish()
