"""Giving a kept answer again: the SDK itself makes of it what it would have made of the provider's.

The response that the SDK gets is one of its own HTTP library with the kept body, unread where the provider's would be,
and everything after that is the SDK's own code: models, streams, raw responses, parsers of the application's.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import copy
from datetime import timedelta
from typing import Any, Final

from .entry import Entry

HEADER: Final = "x-spanledger-cache"
"""On a response that was given again, for applications that look at headers."""
_RAW: Final = "x-stainless-raw-response"


def replay(
    client: Any, cast_to: Any, options: Any, body: Mapping[str, Any], entry: Entry, *, stream: bool, stream_cls: Any
) -> Any:
    """Return what the SDK makes of an answer; of an asynchronous client, what has to be awaited for it.

    `body` is what would have been sent.

    Raises:
        Exception: whatever the SDK raises.
    """
    options = copy(options)
    options.json_data, options.extra_json = dict(body), None
    if not getattr(client, "api_key", None):
        # One that is asked for anew isn't there yet, and no request is built without; this one is not sent.
        options.headers = {"Authorization": "none", **(options.headers if isinstance(options.headers, Mapping) else {})}
    cast_to = client._maybe_override_cast_to(cast_to, options)
    request = client._build_request(options, retries_taken=0)
    response = _response(client, request, entry, unread=stream or request.headers.get(_RAW) == "stream")
    return client._process_response(
        cast_to=cast_to, options=options, response=response, stream=stream, stream_cls=stream_cls, retries_taken=0
    )


def _response(client: Any, request: Any, entry: Entry, *, unread: bool) -> Any:
    httpx = sys.modules[type(request).__module__.partition(".")[0]]  # the newer library, or the older one
    body = {"stream": httpx.ByteStream(entry.body)} if unread else {"content": entry.body}
    response = httpx.Response(200, headers=[*entry.headers.items(), (HEADER, "hit")], request=request, **body)
    response.elapsed = timedelta(0)
    response.default_encoding = getattr(client._client, "_default_encoding", "utf-8")
    return response
