"""The key of an answer: a keyed hash of all that decides it, within a namespace.

The whole body of a request goes into it but for a short list of what decides nothing, so that a parameter nobody here
has heard of can make a cache miss, never a wrong hit. Of what the hash was made from nothing is kept.

Whose account it is, is in it, too: what a client or a request gives for a credential. One that is asked for anew before
each request is another token every hour, so in its place is the object that is asked, of this process.
"""

from __future__ import annotations

import hmac
import re
import secrets
import weakref
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
_TELLING: Final = re.compile(
    "beta|version|organization|project|workspace|profile|account|tenant|customer|authorization|cookie"
    "|(?:auth|key|token|secret|credential|signature)s?$"
)
"""In the name of a header that decides the answer, or whose account it is."""
_TELLS_NOTHING: Final = "idempotency"
"""In the name of a header that is another one for each request."""
_NOT_GIVEN: Final = ABSENT_TYPES - {"NoneType"}
_ACCOUNT: Final = (
    *("organization", "project", "_project", "project_id", "workspace_id", "region", "aws_region", "aws_profile"),
    *("auth_token", "access_token", "_azure_ad_token", "admin_api_key", "aws_access_key"),
)
"""Of a client, beside its API key."""
_ASKED_ANEW: Final = (
    *("_api_key_provider", "_azure_ad_token_provider", "_token_provider", "credentials"),
    *("_workload_identity_auth", "_provider_runtime", "_creds_state"),
)
"""Of a client: objects that have its credential of the moment."""
_known: Final[dict[int, tuple[weakref.ref[object], str]]] = {}
"""Such objects, by their address, and a name that is no other one's."""


class Asked(NamedTuple):
    """A call that may be answered from the cache, as far as the key is concerned."""

    provider: str
    address: str
    """The server's, with the path of the request and its query."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    """Those of this request that decide the answer."""
    account: tuple[str | None, ...]
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
    """Return the headers that tell, those of the request above the client's, and these above its HTTP client's."""
    of_http = getattr(getattr(client, "_client", None), "headers", None)
    of_credential, of_client = getattr(client, "_credential_headers", None), getattr(client, "_custom_headers", None)
    found = {}
    for headers in (of_http, of_credential, of_client, options.headers):
        if isinstance(headers, Mapping):
            for name, value in headers.items():
                lower = name.lower()
                if isinstance(value, str | bytes) and _TELLING.search(lower) and _TELLS_NOTHING not in lower:
                    found[lower] = value if isinstance(value, str) else value.decode("latin-1")
    return found


def _account(client: Any) -> tuple[str | None, ...]:
    key = None if getattr(client, "_api_key_provider", None) is not None else getattr(client, "api_key", None)
    values = (key, *(getattr(client, name, None) for name in _ACCOUNT))
    asked = [getattr(client, name, None) for name in _ASKED_ANEW]
    asked.append(getattr(getattr(client, "_client", None), "auth", None))
    return (
        *(value if isinstance(value, str) else None for value in values),
        *(None if one is None else _name(one) for one in asked),
    )


def _name(asked: object) -> str:
    """Return the name of an object for as long as it lives.

    Raises:
        TypeError: nobody can tell how long it lives.
    """
    found = _known.get(id(asked))
    if found is not None and found[0]() is asked:
        return found[1]
    place, name = id(asked), secrets.token_hex(16)
    _known[place] = weakref.ref(asked, lambda gone: _forget(place, gone)), name
    return name


def _forget(place: int, gone: weakref.ref[object]) -> None:
    if (found := _known.get(place)) is not None and found[0] is gone:
        del _known[place]


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
