"""OTLP's JSON, turned into the protobuf message.

It is protobuf's JSON mapping but for the ids, which are hex where the mapping has base64. So the ids are
rewritten, and protobuf's own parser does the rest: lowerCamelCase names, enums as numbers, 64-bit numbers as
text or number, unknown fields ignored.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from google.protobuf import json_format

from .errors import MalformedError
from .otlp_requests import R, name_of

_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")
_ID_KEYS: Final = ("traceId", "spanId", "parentSpanId")
_UNREADABLE_ID: Final = "AA=="
"""One zero byte: not an id of any kind, so that the check of ids refuses the span."""
_SPANS: Final = ("resourceSpans", "scopeSpans", "spans")
_METRICS: Final = ("resourceMetrics", "scopeMetrics", "metrics")
_KINDS: Final = ("gauge", "sum", "histogram", "exponentialHistogram")
_WITH_IDS: Final[Mapping[str, Sequence[tuple[str, ...]]]] = {
    "ExportTraceServiceRequest": (_SPANS, (*_SPANS, "links")),
    "ExportLogsServiceRequest": (("resourceLogs", "scopeLogs", "logRecords"),),
    "ExportMetricsServiceRequest": [(*_METRICS, kind, "dataPoints", "exemplars") for kind in _KINDS],
}
"""Where ids stand in each kind of request."""


def read_json(body: bytes, kind: type[R]) -> R:
    """Parse a request.

    Raises:
        MalformedError: it isn't JSON, or not that of such a request.
    """
    try:
        document = json.loads(body)
        if not isinstance(document, dict):
            raise MalformedError(f"the JSON is not an object with `{_WITH_IDS[name_of(kind)][0][0]}`")
        for path in _WITH_IDS[name_of(kind)]:
            for item in _at(document, path):
                _rewrite_ids(item)
        return json_format.ParseDict(document, kind(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise MalformedError(f"not an {name_of(kind)} in JSON: {error}") from error
    except RecursionError as error:  # of the JSON parser, which has no limit of its own
        raise MalformedError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise MalformedError(f"not valid JSON: {error}") from error


def _at(parent: dict[str, object], path: Sequence[str]) -> Iterator[dict[str, object]]:
    if not path:
        yield parent
        return
    children = parent.get(path[0])
    if children is None:
        return
    if isinstance(children, dict):
        children = [children]
    if not isinstance(children, list) or not all(isinstance(child, dict) for child in children):
        raise MalformedError(f"`{path[0]}` is not an array of objects")
    for child in children:
        yield from _at(child, path[1:])


def _rewrite_ids(item: dict[str, object]) -> None:
    for key in _ID_KEYS:
        value = item.get(key)
        if isinstance(value, str):
            readable = _HEX.fullmatch(value) is not None
            item[key] = base64.b64encode(bytes.fromhex(value)).decode("ascii") if readable else _UNREADABLE_ID
