"""The google-genai SDK: content, streams and embeddings, of the Gemini API and of Vertex AI.

All its methods end in four of its HTTP client, which are wrapped. Those give bodies out as text to the SDK's own code,
so a stream may be watched by an iterator of ours: the application holds the SDK's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

import _spanledger_boot as switch
from spanledger import names, stream
from spanledger.admit import admit
from spanledger.begin import begin_request
from spanledger.call import Call, in_flight
from spanledger.instead import Arguments, Changeable, Given, parameter, with_places, without
from spanledger.prompts import WHOLE, Layout
from spanledger.record import Attributes, Failure, make_failure
from spanledger.sdk import Endpoint, Request, Sdk

from .fields import get, text
from .google_usage import (
    read_content,
    read_embeddings,
    read_free,
    read_predicted_embeddings,
    read_predictions,
    token_usage,
)
from .refused import by_google
from .wrapping import REFUSED, around_coroutine, around_method, count_attempt, read_whole, replace, settled

_ENDED: Final = object()
_PLACES: Final = frozenset({"generation_config", "tool_config"})
"""Parameters that are places for others."""


def wrap(module: ModuleType) -> None:
    """Wrap the client of `google.genai._api_client`."""
    client: Any = module.BaseApiClient
    replace(client, "request", around_method(_begin, read_whole))
    replace(client, "async_request", around_coroutine(_begin, read_whole))
    replace(client, "request_streamed", _around_stream)
    replace(client, "async_request_streamed", around_coroutine(_begin_stream, _watch_async))
    for attempt in ("_request_once", "_async_request_once"):
        if hasattr(client, attempt):
            replace(client, attempt, count_attempt)


def _around_stream(plain: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def request_streamed(*args: Any, **kwargs: Any) -> Iterator[Any]:
        # The SDK sends nothing before the first event is asked for: until then there is no call.
        call = _begin_stream(*args, **kwargs) if switch.on else None
        events = plain(*args, **kwargs)
        if call is None:
            yield from events
            return
        if call.admission is not None:
            admit(call)
        if isinstance(call.changed, Arguments):
            events = _events_instead(plain, call, call.changed, events)
        events = settled(_watch, call, events)
        token = in_flight.set(call)
        try:
            first = next(events, _ENDED)
        finally:
            in_flight.reset(token)
        if first is not _ENDED:
            yield first
            yield from events

    return request_streamed


def _events_instead(plain: Callable[..., Any], call: Call, changed: Arguments, written: Iterator[Any]) -> Iterator[Any]:
    """Give the events of the model that stands in, or those of the request as written where that is refused."""
    args, kwargs = changed.given
    events: Iterator[Any] = plain(*args, **kwargs)
    first = REFUSED
    try:
        first = next(events, _ENDED)
    except BaseException as error:
        if not call.take_back(error):
            raise
    if first is REFUSED:  # asked again here, so that another exception does not have that one as its context
        yield from written
    elif first is not _ENDED:
        yield first
        yield from events


def _watch(call: Call, events: Any) -> Any:
    watched = stream.watch_iterator(events, call)
    call.answered = False  # nothing is sent before the first event is asked for
    return watched


def _watch_async(call: Call, events: Any) -> Any:
    return stream.watch_async_iterator(events, call)


def _begin(*args: Any, **kwargs: Any) -> Call | None:
    return begin_request(SDK, lambda: _read_request(False, *args, **kwargs), lambda: _changeable(*args, **kwargs))


def _begin_stream(*args: Any, **kwargs: Any) -> Call | None:
    return begin_request(SDK, lambda: _read_request(True, *args, **kwargs), lambda: _changeable(*args, **kwargs))


def _read_request(
    stream: bool, client: Any, http_method: str, path: str, request_dict: Any, http_options: Any = None
) -> Request | None:
    name, _, verb = path.partition("?")[0].rpartition(":")
    if verb not in SDK.endpoints or http_method.lower() != "post":
        return None
    on_vertex = bool(client.vertexai)
    url = text(http_options, "base_url") or text(client._http_options, "base_url")
    return Request(
        endpoint=endpoint_of(verb, name),
        model=_model(name),
        body=request_dict if isinstance(request_dict, Mapping) else {},
        server=_server(url or ""),
        stream=stream,
        provider="gcp.vertex_ai" if on_vertex else "gcp.gemini",
        region=client.location if on_vertex else None,
        api_key=getattr(client, "api_key", None),
    )


def _changeable(
    client: Any, http_method: str, path: str, request_dict: Any, http_options: Any = None
) -> Changeable | str:
    why = why_fixed(path, on_vertex=bool(client.vertexai))
    if why is None and (get(http_options, "extra_body") or get(client._http_options, "extra_body")):
        why = "the SDK adds to its body later (extra_body)"
    if why is not None:
        return why
    return Arguments(((client, http_method, path, request_dict, http_options), {}), _instead)


def why_fixed(path: str, *, on_vertex: bool) -> str | None:
    """Say why a request to a path can't ask for another model; None where it can.

    What is tuned, or deployed at an endpoint, is somebody's own, and no model is known to be like it.
    """
    name, _, verb = path.partition("?")[0].rpartition(":")
    if SDK.endpoints[verb] is not _CONTENT:
        return f"another model can't stand in for {verb}"
    place = f"/{name.rpartition('/')[0]}"
    if not place.endswith("/publishers/google/models" if on_vertex else "/models"):
        return f"{name} is not the plain name of one of Google's models"
    return None


def with_model(url: str, model: str) -> str:
    """Return a path, or a whole address, that names another model."""
    path, mark, query = url.partition("?")
    name, colon, verb = path.rpartition(":")
    return f"{name.rpartition('/')[0]}/{model}{colon}{verb}{mark}{query}"


def _instead(given: Given, model: str, drop: Sequence[str]) -> Given | str:
    client, http_method, path, body, http_options = given[0]
    made = body_instead(body, drop)
    return made if isinstance(made, str) else ((client, http_method, with_model(path, model), made, http_options), {})


def body_instead(body: Mapping[str, Any], drop: Sequence[str]) -> dict[str, Any] | str:
    """Make a body without some parameters, wherever they stand; or say why it can't be another model's."""
    if get(body, "cachedContent") is not None:
        return "its cached content belongs to the model that it was made for"
    kept = without(body, with_places(drop))
    for name, value in kept.items():
        if parameter(name) in _PLACES and isinstance(value, Mapping):
            kept[name] = without(value, drop)
    return kept


def endpoint_of(verb: str, name: str) -> Endpoint:
    """Return what a verb does with a model."""
    return _PREDICT_EMBEDDINGS if verb == "predict" and "embedding" in name else SDK.endpoints[verb]


def _model(name: str) -> str:
    """Return the model as the application named it: the SDK puts `models/` or `publishers/google/models/` before it."""
    head, found, model = name.rpartition("models/")
    return model if found and (not head or "publishers/" in head) else name


@lru_cache(maxsize=64)
def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    found: Attributes = {names.SERVER_ADDRESS: parts.hostname} if parts.hostname else {}
    if parts.port not in (None, 443):
        found[names.SERVER_PORT] = parts.port
    return found


def _request_attributes(body: Mapping[str, Any]) -> Attributes:
    config = body.get("generationConfig")
    attributes: Attributes = {}
    most, temperature = get(config, "maxOutputTokens"), get(config, "temperature")
    if isinstance(most, int):
        attributes[names.MAX_TOKENS] = most
    if isinstance(temperature, int | float):
        attributes[names.TEMPERATURE] = float(temperature)
    return attributes


def _failure(error: BaseException) -> Failure:
    """Read the SDK's APIError: its `code` is the HTTP status, its `status` the word."""
    return make_failure(getattr(error, "code", None), getattr(error, "status", None))


_PARTS: Final = Layout("contents", "systemInstruction", "tools")
_CONTENT: Final = Endpoint("generate_content", read_content, read_content, token_usage, prompt=_PARTS)
_EMBEDDINGS: Final = Endpoint("embeddings", read_embeddings, read_embeddings, token_usage, prompt=WHOLE)
_PREDICT_EMBEDDINGS: Final = Endpoint(
    "embeddings", read_predicted_embeddings, read_predicted_embeddings, token_usage, prompt=WHOLE
)
_COUNTING: Final = Endpoint("count_tokens", read_free, read_free, token_usage, free=True)
_BATCH: Final = Endpoint("batches", read_free, read_free, token_usage, free=True)

SDK: Final = Sdk(
    provider="gcp.gemini",
    endpoints={
        "generateContent": _CONTENT,
        "streamGenerateContent": _CONTENT,
        "embedContent": _EMBEDDINGS,
        "batchEmbedContents": _EMBEDDINGS,
        "predict": Endpoint("image_generation", read_predictions, read_predictions, token_usage, prompt=WHOLE),
        "countTokens": _COUNTING,
        "computeTokens": _COUNTING,
        "batchGenerateContent": _BATCH,
        "asyncBatchEmbedContent": _BATCH,
    },
    request_attributes=_request_attributes,
    failure=_failure,
    refusal=by_google,
)
