"""The key of an answer: a keyed hash of all that decides it, within a namespace.

The whole body of a request goes into it but for a short list of what decides nothing, so that a parameter nobody here
has heard of can make a cache miss, never a wrong hit. Of what the hash was made from nothing is kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from json import dumps
from typing import Any, Final, NamedTuple

from spanledger.canonical import ABSENT_TYPES
from spanledger.evidence import OPERATIONS
from spanledger.sdk import Endpoint

from .rule import CacheRule

VERSION: Final = 1
"""Of keys and of what is stored under them."""
_DECIDES_NOTHING: Final = frozenset(
    {"user", "safety_identifier", "metadata", "prompt_cache_key", "stream", "stream_options"}
)
_ORDERED: Final = frozenset({"tools", "functions", "response_format", "text", "output_format", "output_config"})
"""In schemas the order of keys counts: models write in it."""
_ACTS: Final = frozenset({"tools", "functions", "web_search_options", "mcp_servers", "container", "plugins"})
_KEEPS: Final = frozenset({"store", "background", "conversation"})
"""What has the provider keep or go on with something."""
_TELLING: Final = ("beta", "version", "organization", "project")
"""In the name of a header that decides the answer, or whose account it is."""
_NOT_GIVEN: Final = ABSENT_TYPES - {"NoneType"}
_ACCOUNT: Final = ("organization", "project", "workspace_id")


class Asked(NamedTuple):
    """A call that may be answered from the cache, as far as the key is concerned."""

    provider: str
    address: str
    """The server's, with the path of the request and its query."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    """Those of this request that decide the answer."""
    account: tuple[object, ...]
    """The API key and what else says whose account it is."""
    stream: bool


def read_asked(client: Any, options: Any, provider: str, *, stream: bool) -> Asked:
    """Read a request of an SDK with `FinalRequestOptions`, as it is sent but for our own additions.

    Raises:
        ValueError: it has something that no key can be made of.
    """
    if getattr(options, "files", None) or getattr(options, "content", None) is not None:
        raise ValueError("files, or content that isn't JSON")
    body = options.json_data
    if not isinstance(body, Mapping):
        raise ValueError("the body isn't an object")
    extra = getattr(options, "extra_json", None)
    if isinstance(extra, Mapping):
        if "stream_options" in extra:
            raise ValueError("stream_options in extra_body")
        body = {**body, **extra}
    params = options.params if isinstance(options.params, Mapping) else {}
    query = {**getattr(client, "default_query", {}), **params}
    body, query = _given(body), _given(query)
    address = f"{getattr(client, '_base_url', None) or client.base_url}|{options.url}|{_json(query)}"
    return Asked(provider, address, body, _headers(client, options), _account(client), stream)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the SDK leaves out."""
    return {name: value for name, value in fields.items() if type(value).__name__ not in _NOT_GIVEN}


def _headers(client: Any, options: Any) -> dict[str, str]:
    found = {}
    for headers in (getattr(client, "_custom_headers", None), options.headers):
        if isinstance(headers, Mapping):
            for name, value in headers.items():
                if isinstance(value, str) and any(word in name.lower() for word in _TELLING):
                    found[name.lower()] = value
    return found


def _account(client: Any) -> tuple[object, ...]:
    # One that is asked for anew before each request is a token, and another one every hour.
    key = None if getattr(client, "_api_key_provider", None) is not None else getattr(client, "api_key", None)
    values = (getattr(client, name, None) for name in _ACCOUNT)
    return (key if isinstance(key, str) else None, *(value if isinstance(value, str) else None for value in values))


def why_not(rule: CacheRule, endpoint: Endpoint, body: Mapping[str, Any]) -> str | None:
    """Say why a call may not be answered from the cache; None where it may."""
    if endpoint.operation not in OPERATIONS or endpoint.free or endpoint.paid_later:
        return "no call of a kind that is kept"
    kept = next((key for key in _KEEPS if body.get(key)), None)
    if kept is not None:
        return f"{kept} has the provider keep something"
    if not rule.tools and any(body.get(key) for key in _ACTS):
        return "tools may act; the rule has no tools = true"
    if any(body.get(key) not in (None, 1) for key in ("n", "best_of")):
        return "several answers"
    if rule.always or endpoint.operation == "embeddings" or _is_zero(body.get("temperature")):
        return None
    return "not deterministic: the temperature isn't 0, and the rule has no always = true"


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def namespace_key(secret: bytes, rule: str, values: tuple[str | None, ...]) -> bytes:
    """Return the key that hashes of one namespace are made with."""
    return hmac.digest(secret, _json(["answers", VERSION, rule, values]).encode(), "sha256")


def make_key(secret: bytes, asked: Asked) -> bytes:
    """Return the key of an answer, 32 bytes.

    Raises:
        ValueError, TypeError: the request has something that no key can be made of.
    """
    free, ordered = {}, {}
    for name, value in asked.body.items():
        if name in _ORDERED:
            ordered[name] = value
        elif name not in _DECIDES_NOTHING:
            free[name] = value
    options = asked.body.get("stream_options")
    # Whether usage is told doesn't count: in nearly every case we ask for it, and take it out for who didn't.
    if isinstance(options, Mapping) and (left := {key: options[key] for key in options if key != "include_usage"}):
        free["stream_options"] = left
    kind = "events" if asked.stream else "json"
    head = [kind, asked.provider, asked.address, asked.headers, asked.account]
    parts = _json(head), _json(free), dumps(_sorted(ordered), allow_nan=False, separators=(",", ":"), default=_plain)
    return hmac.digest(secret, "\n".join(parts).encode(), "sha256")


def _sorted(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in sorted(fields)}


def _json(value: object) -> str:
    return dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> object:
    """Write a model of an SDK, as the SDK itself would send it."""
    if hasattr(type(value), "__pydantic_fields__"):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no key can be made of {type(value).__qualname__}")
