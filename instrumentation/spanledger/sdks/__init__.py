"""The LLM SDKs that are wrapped, and how: at the one method through which all calls of an SDK go.

Wrapping that method rather than every resource's own covers helpers, raw responses and betas alike, and sees a call
once however often it is retried.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from contextvars import Token
from time import perf_counter_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import _spanledger_boot as switch
from spanledger import bodies, faults, stream
from spanledger.admit import admit, admit_async
from spanledger.begin import begin
from spanledger.call import Call, in_flight
from spanledger.sdk import Sdk

from .inherited import replace_everywhere
from .wrapping import replace

if TYPE_CHECKING:
    from spanledger.guard.cache.lookup import Search

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
_REFUSED: Final[Any] = object()
"""In place of a result: the server did not take what we had added."""


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
    if hasattr(module.SyncAPIClient, "_process_response") and hasattr(module.AsyncAPIClient, "_process_response"):
        replace(module.SyncAPIClient, "_process_response", _record_answer)
        replace(module.AsyncAPIClient, "_process_response", _record_answer)
    if hasattr(module.SyncAPIClient, "_sleep_for_retry") and hasattr(module.AsyncAPIClient, "_sleep_for_retry"):
        replace(module.SyncAPIClient, "_sleep_for_retry", _note_retry)
        replace(module.AsyncAPIClient, "_sleep_for_retry", _note_retry)


def _sync_request(sdk: Sdk, plain: Callable[..., Any]) -> Callable[..., Any]:
    def request(client: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        call = begin(sdk, client, options, bool(kwargs.get("stream"))) if switch.on else None
        if call is None:
            result = plain(client, cast_to, options, *args, **kwargs)
            if sdk.look_back is not None and switch.on:
                _look_back(sdk, client, options, result, asynchronous=False)
            return result
        if call.search is not None:
            result = call.search.serve(call, client, cast_to, options, kwargs.get("stream_cls"))
            if result is not None:
                _settle(call, result, asynchronous=False)
                return result
        if call.admission is not None:
            admit(call)
            if (search := _changed(call)) is not None:
                result = search.serve(call, client, cast_to, options, kwargs.get("stream_cls"))
                if result is not None:
                    _settle(call, result, asynchronous=False)
                    return result
        result, token = _REFUSED, in_flight.set(call)
        try:
            result = plain(client, cast_to, options, *args, **kwargs)
        except BaseException as error:
            if not call.withdraw(options, error):
                call.fail(error)
                raise
        finally:
            _reset(token)
        if result is _REFUSED:  # asked again here, so that another exception does not have that one as its context
            result = _again(plain, call, client, cast_to, options, *args, **kwargs)
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
        if call.search is not None:
            result = await call.search.serve_async(call, client, cast_to, options, kwargs.get("stream_cls"))
            if result is not None:
                _settle(call, result, asynchronous=True)
                return result
        if call.admission is not None:
            await admit_async(call)
            if (search := _changed(call)) is not None:
                result = await search.serve_async(call, client, cast_to, options, kwargs.get("stream_cls"))
                if result is not None:
                    _settle(call, result, asynchronous=True)
                    return result
        result, token = _REFUSED, in_flight.set(call)
        try:
            result = await plain(client, cast_to, options, *args, **kwargs)
        except BaseException as error:
            if not call.withdraw(options, error):
                call.fail(error)
                raise
        finally:
            _reset(token)
        if result is _REFUSED:  # asked again here, so that another exception does not have that one as its context
            result = await _again_async(plain, call, client, cast_to, options, *args, **kwargs)
        _settle(call, result, asynchronous=True)
        return result

    return request


def _changed(call: Call) -> Search | None:
    """Return the search of a call for which another model stands in, by a budget or a route; None where none does."""
    found = call.search.anew() if call.search is not None else None
    if found is not None:
        call.search = found
    return found


def _again(plain: Callable[..., Any], call: Call, *args: Any, **kwargs: Any) -> Any:
    """Make a request once more, without what we had added to it."""
    token = in_flight.set(call)
    try:
        return plain(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        _reset(token)


async def _again_async(plain: Callable[..., Any], call: Call, *args: Any, **kwargs: Any) -> Any:
    token = in_flight.set(call)
    try:
        return await plain(*args, **kwargs)
    except BaseException as error:
        call.fail(error)
        raise
    finally:
        _reset(token)


def _reset(token: Token[Call | None]) -> None:
    # In line, and not by `suppress`: this runs for every call.
    try:  # noqa: SIM105
        in_flight.reset(token)
    except ValueError:
        pass  # a coroutine may be closed in another context than it ran in, and then there is nothing to undo


def _count_attempt(plain: Callable[..., Any]) -> Callable[..., Any]:
    def build(client: Any, *args: Any, **kwargs: Any) -> Any:
        call = in_flight.get()
        if call is not None:
            call.leaves()
            call.attempt_ns = perf_counter_ns()
        return plain(client, *args, **kwargs)

    return build


def _record_answer(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Have an answer that is to be kept recorded, before anybody reads it."""

    def process(client: Any, *args: Any, **kwargs: Any) -> Any:
        call = in_flight.get()
        if call is not None and call.search is not None:
            call.search.take(kwargs.get("response"))
        return plain(client, *args, **kwargs)

    return process


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
