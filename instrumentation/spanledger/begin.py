"""The start of a call: whether what an SDK is about to send is one, and what its request says.

A fault in here costs the record, never the call: None is a call that nobody follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import faults, ledger
from .attributes import server_attributes
from .call import Call
from .instead import Changeable
from .sdk import Request, Sdk


def begin(sdk: Sdk, client: Any, options: Any, stream: bool) -> Call | None:
    """Start a call of an SDK with `FinalRequestOptions`; None where the request is none, or where we are at fault."""
    try:
        request = _read_options(sdk, client, options, stream)
        if request is None or (worker := ledger.start()) is None:
            return None
        call = Call(sdk, request, worker)
        call.adopt(options)
        if worker.gate is not None and worker.gate.cache is not None:
            call.look_up(worker.gate, client, options)
        return call
    except Exception as error:
        faults.report(f"{sdk.provider} call not recorded", error)
        return None


def begin_request(
    sdk: Sdk, read: Callable[[], Request | None], changeable: Callable[[], Changeable | str] | None = None
) -> Call | None:
    """Start the call that `read` finds; None where the request is none, or where we are at fault.

    `changeable` makes what rules can ask for another model in, or says why they can't, of a call that a rule is about.
    """
    try:
        request = read()
        if request is None or (worker := ledger.start()) is None:
            return None
        call = Call(sdk, request, worker)
        if changeable is not None and call.admission is not None:
            _offer(call, changeable)
        return call
    except Exception as error:
        faults.report(f"{sdk.provider} call not recorded", error)
        return None


def _offer(call: Call, changeable: Callable[[], Changeable | str]) -> None:
    try:
        call.offer(changeable())
    except Exception as error:  # rules hold it all the same, at the model that is named
        faults.report("no model stands in for the one that is asked for", error)


def _read_options(sdk: Sdk, client: Any, options: Any, stream: bool) -> Request | None:
    if options.method.lower() != "post":
        return None
    path = options.url.partition("?")[0]
    endpoint = sdk.endpoints.get(path) or sdk.endpoints.get(_plain_path(client, path))
    if endpoint is None:
        return None
    body = options.json_data
    if type(body) is not dict and not isinstance(body, Mapping):
        body = {}
    extra = getattr(options, "extra_json", None)
    if extra and isinstance(extra, Mapping):
        body = {**body, **extra}
    if endpoint.background is not None and body.get("background") is True:
        endpoint = endpoint.background
    model = body.get("model")
    asked = model if isinstance(model, str) else ""
    return Request(
        endpoint,
        asked,
        body,
        server_attributes(client),
        stream,
        client=type(client).__name__,
        api_key=_api_key(client),
    )


def _plain_path(client: Any, path: str) -> str:
    """Return a path as the SDK's own methods write it: the application may write its whole address, or no slash."""
    return f"/{path.removeprefix(str(client.base_url)).strip('/')}"


def _api_key(client: Any) -> object:
    # One that is asked for anew before each request is a token, and another one every hour.
    key = None if getattr(client, "_api_key_provider", None) is not None else getattr(client, "api_key", None)
    # Azure's client says "<missing API key>" where it has such a token instead.
    return None if isinstance(key, str) and key.startswith("<") else key
