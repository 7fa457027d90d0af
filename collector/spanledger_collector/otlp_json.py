"""OTLP's JSON, turned into the protobuf message.

It is protobuf's JSON mapping but for the ids, which are hex where the mapping has base64: lowerCamelCase names, enums
as numbers, 64-bit numbers as text or number, unknown fields ignored.
"""

from __future__ import annotations

import json

from .errors import MalformedError
from .json_messages import message_of
from .otlp_requests import R


def read_json(body: bytes, kind: type[R]) -> R:
    """Parse a request.

    Raises:
        MalformedError: it isn't JSON, or not that of such a request.
    """
    return message_of(kind, load_json(body))


def load_json(body: bytes) -> dict[str, object]:
    """Return the object that some JSON is.

    Raises:
        MalformedError: it isn't JSON, or not an object.
    """
    try:
        document = json.loads(body)
    except RecursionError as error:  # of the JSON parser, which has no limit of its own
        raise MalformedError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise MalformedError(f"not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedError("the JSON is not an object with `resourceSpans`, `resourceLogs` or `resourceMetrics`")
    return document
