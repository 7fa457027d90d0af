"""The anthropic SDK's batches: their results are charged where they are read.

A result says nothing of when it was made, so it is dated as its batch was; the SDK itself looks at the batch before it
reads the results, and we hear what it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from spanledger import later, results, stream
from spanledger.listening import Bystander
from spanledger.sdk import Sdk

from .fields import get, text

_PATH: Final = "/messages/batches"


def make_look_back(sdk: Callable[[], Sdk]) -> Callable[[Any, Any, Any, bool], None]:
    """Return what looks at requests that are no calls, for an SDK that is made after it."""

    def look_back(client: Any, options: Any, result: Any, asynchronous: bool) -> None:
        url = options.url.partition("?")[0]
        if _PATH not in url or options.method.lower() != "get":
            return
        if url.endswith("/results"):
            _read_results(sdk(), client, url.split("/")[-2], result, asynchronous)
        else:
            for batch in get(result, "data") or (result,):
                later.note_batch(batch, "id")

    return look_back


def _read_results(sdk: Sdk, client: Any, batch_id: str, result: Any, asynchronous: bool) -> None:
    batch = later.batches.get(batch_id) or later.Batch(batch_id)
    lines = results.Lines(later.reading(sdk, client, batch=batch), _finder(sdk, batch_id))
    nobody = Bystander(lambda _: None, stream=False)
    if hasattr(result, "_raw_iterator"):
        result._raw_iterator = stream.tap_iterator(result._raw_iterator, nobody, lines, asynchronous=asynchronous)
    elif hasattr(result, "http_response"):  # not where the application asked for a type of its own
        stream.tap(result.http_response, nobody, lines, asynchronous=asynchronous)


def _finder(sdk: Sdk, batch_id: str) -> results.Find:
    endpoint = sdk.endpoints["/v1/messages"]

    def find(line: Mapping[str, Any]) -> later.Result | None:
        result = get(line, "result")
        if text(result, "type") != "succeeded":
            return None
        message = get(result, "message")
        return later.Result(endpoint, message, text(message, "id"), f"{batch_id} {text(line, 'custom_id')}")

    return find
