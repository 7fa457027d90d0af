"""Which protocol a request of LiteLLM's speaks, told by its path, and so which SDK's module knows what is in it.

The provider is the one that LiteLLM itself names, where the host does not tell more. A protocol that none of our
modules knows is recorded all the same, with the counts that its answer has under the usual names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from spanledger import names
from spanledger.attributes import Facts
from spanledger.record import Attributes, Failure, make_failure
from spanledger.sdk import Endpoint, Request, Sdk
from spanledger.usage import Usage, UsageState

from . import anthropic_sdk, bedrock_sdk, google_sdk, openai_sdk
from .fields import count, get, text

_BEDROCK: Final = re.compile(r"/model/([^/]+)/(converse|converse-stream|invoke|invoke-with-response-stream)$")
_BEDROCK_OPERATIONS: Final = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
}
_AWS_REGION: Final = re.compile(r"\.([a-z0-9-]+)\.(?:amazonaws|api)\.")
_VERTEX_REGION: Final = re.compile(r"/locations/([\w-]+)/")
_PROVIDERS: Final = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks_ai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshotai",
    "ollama_chat": "ollama",
    "together_ai": "together",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""LiteLLM's names that are not the ones on the wire; any other is taken as it is."""
_CALLS: Final = {
    "completion": "chat",
    "acompletion": "chat",
    "text_completion": "text_completion",
    "atext_completion": "text_completion",
    "embedding": "embeddings",
    "aembedding": "embeddings",
    "rerank": "rerank",
    "arerank": "rerank",
    "image_generation": "image_generation",
    "aimage_generation": "image_generation",
}
"""What LiteLLM calls a call, where its protocol is not known here -> the operation."""
_INPUT_NAMES: Final = ("input_tokens", "prompt_tokens", "prompt_eval_count")
_OUTPUT_NAMES: Final = ("output_tokens", "completion_tokens", "eval_count")


def _failure(error: BaseException) -> Failure:
    """Read an exception of LiteLLM's handlers, which is the same whoever answered."""
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return make_failure(status, getattr(error, "code", None))


_AMAZON: Final = replace(bedrock_sdk.SDK, failure=_failure)
_GOOGLE: Final = replace(google_sdk.SDK, failure=_failure)


class Wire(NamedTuple):
    """What a request turned out to be."""

    sdk: Sdk
    path: str
    """As the SDK has it."""
    body: Mapping[str, Any]
    request: Request
    may_ask: bool
    """Whether its stream may be asked for usage: not where a signature covers the body."""
    fixed: str | None
    """Why it can't ask for another model; None where it can."""
    names_in_path: bool
    """The model stands in the address, not in the body."""


def read_wire(arguments: Mapping[str, Any], body: Mapping[str, Any]) -> Wire | None:
    """Return what a request is; None where it is no call of a model."""
    url = urlsplit(str(arguments.get("url") or ""))
    path, logging = url.path.rstrip("/"), arguments.get("logging_obj")
    found = _find(path, body) or _unknown(logging)
    if found is None:
        return None
    sdk, key, endpoint, model = found
    server = _server(url.hostname, url.port)
    request = Request(
        endpoint=endpoint,
        model=model or text(body, "model") or text(logging, "model") or "",
        body=body,
        server=server,
        stream=_streams(path, body),
        provider=_provider(sdk, server, logging),
        region=_region(path, url.hostname or ""),
        client="litellm",
    )
    headers = arguments.get("headers")
    signed = isinstance(headers, Mapping) and any(name.lower().startswith("x-amz-") for name in headers)
    is_form = isinstance(arguments.get("data"), Mapping)
    return Wire(
        sdk,
        key,
        body,
        request,
        may_ask=sdk is openai_sdk.SDK and not signed and not is_form,
        fixed="its body is not read, or a form" if is_form or not body else _fixed(sdk, path, signed),
        names_in_path=sdk is _GOOGLE,
    )


def _fixed(sdk: Sdk, path: str, signed: bool) -> str | None:
    if signed or sdk is _AMAZON:
        return "LiteLLM has signed it before it is seen here"
    if sdk is _GOOGLE:
        return google_sdk.why_fixed(path, on_vertex="/locations/" in path)
    return "its protocol is not known here" if sdk is _ANY else None


def _find(path: str, body: Mapping[str, Any]) -> tuple[Sdk, str, Endpoint, str | None] | None:
    bedrock = _BEDROCK.search(path)
    if bedrock is not None:
        model, operation = unquote(bedrock[1]), _BEDROCK_OPERATIONS[bedrock[2]]
        return _AMAZON, operation, bedrock_sdk.endpoint_of(operation, model), model
    head, colon, verb = path.rpartition(":")
    if colon and "rawpredict" in verb.lower() and "anthropic_version" in body:
        return anthropic_sdk.SDK, "/v1/messages", anthropic_sdk.SDK.endpoints["/v1/messages"], head.rpartition("/")[2]
    if colon and verb in google_sdk.SDK.endpoints:
        name = head.rpartition("/")[2]
        return _GOOGLE, verb, google_sdk.endpoint_of(verb, name), name
    for sdk, key, end in _ENDS:
        if path.endswith(end):
            return sdk, key, sdk.endpoints[key], None
    return None


_ENDS: Final = sorted(
    [
        *((openai_sdk.SDK, key, key) for key in openai_sdk.SDK.endpoints if key.startswith("/")),
        *((anthropic_sdk.SDK, key, key) for key in anthropic_sdk.SDK.endpoints if key.startswith("/v1/")),
    ],
    key=lambda end: -len(end[2]),
)
"""Ends of paths, the longest first: `/chat/completions` is no `/completions`."""


def _unknown(logging: object) -> tuple[Sdk, str, Endpoint, str | None] | None:
    operation = _CALLS.get(str(getattr(logging, "call_type", "")))
    return None if operation is None else (_ANY, operation, _ANY.endpoints[operation], None)


def _streams(path: str, body: Mapping[str, Any]) -> bool:
    # Bedrock's and Gemini's say it in their path.
    return body.get("stream") is True or "stream" in path.rpartition("/")[2].lower()


def _provider(sdk: Sdk, server: Attributes, logging: object) -> str:
    told = sdk.provider_at(server.get(names.SERVER_ADDRESS), server.get(names.SERVER_PORT))
    details = getattr(logging, "model_call_details", None)
    named = text(details, "custom_llm_provider") or text(logging, "custom_llm_provider")
    if told != sdk.provider or named is None:
        return told
    return _PROVIDERS.get(named, named)


def _region(path: str, host: str) -> str | None:
    found = _VERTEX_REGION.search(path) or (_AWS_REGION.search(host) if host.endswith(".amazonaws.com") else None)
    return found[1] if found else None


@lru_cache(maxsize=256)
def _server(host: str | None, port: int | None) -> Attributes:
    found: Attributes = {names.SERVER_ADDRESS: host} if host else {}
    if host and port not in (None, 443):
        found[names.SERVER_PORT] = port
    return found


def _any_usage(counts: Mapping[str, int], state: UsageState) -> Usage:
    return Usage.from_totals(counts.get("input", 0), counts.get("output", 0), state=state)


def _read_any(facts: Facts, body: object) -> None:
    """Read the counts of an answer in a protocol that is not known here."""
    facts.response_id = text(body, "id") or facts.response_id
    facts.response_model = text(body, "model") or facts.response_model
    usage = get(body, "usage")
    places = (body, usage, get(usage, "tokens"), get(get(body, "meta"), "tokens"))
    for place in places:
        for name, keys in (("input", _INPUT_NAMES), ("output", _OUTPUT_NAMES)):
            for key in keys:
                if isinstance(get(place, key), int | float):
                    facts.counts[name] = count(place, key) or int(get(place, key))
    facts.complete = bool(facts.counts)


def _no_attributes(body: Mapping[str, Any]) -> Attributes:
    return {}


_ANY: Final = Sdk(
    provider="unknown",
    endpoints={name: Endpoint(name, _read_any, _read_any, _any_usage) for name in set(_CALLS.values())},
    request_attributes=_no_attributes,
)
