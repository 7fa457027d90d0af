"""Amazon Bedrock by way of botocore: Converse and InvokeModel, streamed or not, whatever the family of models.

Every call of every AWS service goes through one method of botocore; those to other services pass it untouched. An
event stream is watched below the object that the application iterates over, at the messages it is made of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from spanledger import names, stream
from spanledger.begin import begin_request
from spanledger.call import Call
from spanledger.instead import Arguments, Changeable, Given, with_places, without
from spanledger.prompts import Layout
from spanledger.record import Attributes, Failure, make_failure
from spanledger.sdk import Endpoint, Request, Sdk

from .bedrock_usage import (
    hear_converse,
    hear_invoke,
    read_converse,
    read_free,
    read_invoke,
    read_metadata,
    token_usage,
)
from .fields import get, text
from .refused import by_botocore
from .wrapping import around_method, count_attempt, replace

SERVICE: Final = "bedrock-runtime"
_STREAMS: Final = {"ConverseStream": "stream", "InvokeModelWithResponseStream": "body"}
"""Operation to the field of its response that holds the event stream."""
_OPERATIONS: Final = (("embed", "embeddings"), ("rerank", "rerank"), ("image", "image_generation"))
"""Part of a model's id to what it is invoked for; any other model chats."""
_MAX_TOKENS_KEYS: Final = ("max_tokens", "max_gen_len", "maxTokens", "max_new_tokens", "maxTokenCount")
_CONFIGS: Final = ("inferenceConfig", "textGenerationConfig")
_PLACES: Final = frozenset({"inferenceConfig", "toolConfig", "additionalModelRequestFields"})
"""Parameters of Converse that are places for others."""
_PLAIN_ARNS: Final = (":foundation-model/", ":inference-profile/")
"""ARNs that have a model's own id in them."""
_ENVELOPE: Final = frozenset({"modelId", "body", "accept", "contentType", "trace", "requestMetadata"})
"""Parameters of InvokeModel that ask nothing of a model."""
_LARGEST_BODY_READ: Final = 256 * 1024
"""A longer request body, pictures most likely, is not parsed for its parameters."""


def wrap(module: ModuleType) -> None:
    """Wrap the client of `botocore.client`."""
    replace(module.BaseClient, "_make_api_call", around_method(_begin, _settle))
    replace(sys.modules["botocore.endpoint"].Endpoint, "_get_response", count_attempt)


def _begin(client: Any, operation_name: Any = None, api_params: Any = None, *_args: Any, **_more: Any) -> Call | None:
    # Stands before everything else: an application that uses S3 comes by here, too.
    if operation_name not in SDK.endpoints:
        return None
    return begin_request(
        SDK,
        lambda: _read_request(client, operation_name, api_params),
        lambda: _changeable(client, operation_name, api_params),
    )


def _read_request(client: Any, operation: str, params: Mapping[str, Any]) -> Request | None:
    if client.meta.service_model.service_name != SERVICE:
        return None
    model = text(params, "modelId") or ""
    invoked = operation.startswith("InvokeModel")
    return Request(
        endpoint=endpoint_of(operation, model),
        model=model,
        body=_read_invoked(params) if invoked else params,
        server=_server(client.meta.endpoint_url),
        stream=operation in _STREAMS,
        region=client.meta.region_name,
        api_key=_access_key(client),
    )


def endpoint_of(operation: str, model: str) -> Endpoint:
    """Return what an operation does with a model."""
    if operation.startswith("InvokeModel"):
        return _invoking(next((name for part, name in _OPERATIONS if part in model), "chat"))
    return SDK.endpoints[operation]


def _changeable(client: Any, operation: str, params: Mapping[str, Any]) -> Changeable | str:
    model = text(params, "modelId") or ""
    if operation.startswith("InvokeModel") and "anthropic_version" not in _read_body(params.get("body")):
        return "its body is not read, or as one family of models has it"
    if not (any(kind in model for kind in _PLAIN_ARNS) if model.startswith("arn:") else "." in model):
        return f"{model} is somebody's own, and what is behind it is not known"
    return Arguments(((client, operation, params), {}), _instead)


def _instead(given: Given, model: str, drop: Sequence[str]) -> Given | str:
    client, operation, params = given[0]
    if not operation.startswith("InvokeModel"):
        kept = without(params, with_places(drop))
        for place in _PLACES.intersection(kept):
            if isinstance(kept[place], Mapping):
                kept[place] = without(kept[place], drop)
        return (client, operation, {**kept, "modelId": model}), {}
    if "anthropic." not in model:
        return f"its body is Anthropic's, and {model} is not"
    return (client, operation, {**without(params, drop), "modelId": model, "body": _without(params["body"], drop)}), {}


def _without(body: str | bytes | bytearray, drop: Sequence[str]) -> str | bytes | bytearray:
    """Return a body of InvokeModel without some parameters; as it is where it has none of them."""
    asked = _read_body(body)
    kept = without(asked, drop)
    if len(kept) == len(asked):
        return body
    written = json.dumps(kept)
    return written if isinstance(body, str) else written.encode()


def _read_invoked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the body, and what InvokeModel is asked beside it."""
    body = _read_body(params.get("body"))
    beside = {key: value for key, value in params.items() if key not in _ENVELOPE}
    return {**body, **beside} if beside else body


def _read_body(body: object) -> Mapping[str, Any]:
    """Read a body of InvokeModel; one that can be read only once stays unread."""
    if not isinstance(body, str | bytes | bytearray) or len(body) > _LARGEST_BODY_READ:
        return {}
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    found: Attributes = {names.SERVER_ADDRESS: parts.hostname} if parts.hostname else {}
    if parts.port not in (None, 443):
        found[names.SERVER_PORT] = parts.port
    return found


def _request_attributes(body: Mapping[str, Any]) -> Attributes:
    places = [body, *(found for key in _CONFIGS if isinstance(found := body.get(key), Mapping))]
    attributes: Attributes = {}
    for place in places:
        for key in _MAX_TOKENS_KEYS:
            if isinstance(place.get(key), int):
                attributes[names.MAX_TOKENS] = place[key]
        if isinstance(place.get("temperature"), int | float):
            attributes[names.TEMPERATURE] = float(place["temperature"])
    return attributes


def _failure(error: BaseException) -> Failure:
    """Read botocore's ClientError; its other exceptions had no response."""
    response = getattr(error, "response", None)
    status = get(get(response, "ResponseMetadata"), "HTTPStatusCode")
    return make_failure(status, get(get(response, "Error"), "Code"))


def _settle(call: Call, response: Any) -> Any:
    """Watch what the response still has to give; the response itself stays as it is."""
    read_metadata(call.facts, response)
    field = next((name for name in ("stream", "body") if name in response), None)
    if field is None:
        call.read(response)
    elif call.stream:
        events = response[field]
        stream.watch_closing(events._raw_stream, call)
        events._event_generator = stream.watch_iterator(events._event_generator, call)
    else:
        stream.watch_body(response[field]._raw_stream, call)
    return response


def _invoking(operation: str) -> Endpoint:
    return Endpoint(operation, read_invoke, hear_invoke, token_usage, prompt=_INVOKED)


def _access_key(client: Any) -> object:
    """Return the id of a lasting access key; one that is renewed all the time has another name for it."""
    credentials = getattr(getattr(client, "_request_signer", None), "_credentials", None)
    return getattr(credentials, "__dict__", {}).get("access_key")


_INVOKED: Final = Layout("messages", "system", "tools")
"""As Anthropic's models have it; a body of another shape is hashed whole."""
_CONVERSE: Final = Layout("messages", "system", "toolConfig")


SDK: Final = Sdk(
    provider="aws.bedrock",
    endpoints={
        "Converse": Endpoint("chat", read_converse, read_converse, token_usage, prompt=_CONVERSE),
        "ConverseStream": Endpoint("chat", read_converse, hear_converse, token_usage, prompt=_CONVERSE),
        "CountTokens": Endpoint("count_tokens", read_free, read_free, token_usage, free=True),
        "InvokeModel": _invoking("chat"),
        "InvokeModelWithResponseStream": _invoking("chat"),
    },
    request_attributes=_request_attributes,
    failure=_failure,
    refusal=by_botocore,
)
