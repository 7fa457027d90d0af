"""Requests that no sane client sends: recorded bodies, broken in all the ways there are, from one seed."""

from __future__ import annotations

import gzip
import json
import random
import sys
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp_bodies import Value, recorded_bodies, request, span

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
BOMB_BYTES: Final = 200 << 20
_VARINT_64: Final = b"\xff" * 9 + b"\x01"
_NUMBERS: Final = (
    *("1e999", "-1e999", "NaN", "Infinity", "-0", "0.1e-400", "1e18", "9" * 400, "-" + "9" * 30),
    *('"18446744073709551616"', '"-1"', '"0x10"', '"1e5"', "true", "null", "[]", "{}", '""', '"\\ud800"'),
)
_EXTREMES: Final[tuple[Value, ...]] = (
    *(0, -1, 2**63 - 1, -(2**63), 2**53 + 1, float("nan"), float("inf"), 1e308, "", "x" * 70_000),
)
_ODD_KEYS: Final = ("gen_ai.usage.input_tokens", "gen_ai.usage.cost", "spanledger.cost.pico_usd", "user.id")
_PACKERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
_DEPTHS: Final = (40, 99, 120, 2_000, 20_000)


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request."""

    kind: str
    """How it was broken."""
    body: bytes
    content_type: str = PROTOBUF
    encoding: str = ""


class Forge:
    """Makes one broken request after the other."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._bodies = [body for body in recorded_bodies().values() if len(body) < 100_000]
        self._kinds: list[tuple[int, Callable[[], Hostile]]] = [
            (18, self._truncated),
            (18, self._flipped),
            (12, self._spliced),
            (8, self._huge_varint),
            (8, self._bad_text),
            (6, self._deep_value),
            (6, self._odd_fields),
            (4, self._noise),
            (2, self._bomb),
            (4, self._broken_compression),
            (4, self._wrong_type),
            (6, self._hostile_json),
            (4, self._deep_json),
        ]

    def next(self) -> Hostile:
        """Return a request."""
        weights = [weight for weight, _ in self._kinds]
        return self._chance.choices([make for _, make in self._kinds], weights)[0]()

    def _body(self) -> bytes:
        return self._chance.choice(self._bodies)

    def _place(self, data: bytes | bytearray) -> int:
        return self._chance.randrange(len(data)) if data else 0

    def _truncated(self) -> Hostile:
        body = self._body()
        return Hostile("truncated", body[: self._place(body)])

    def _flipped(self) -> Hostile:
        body = bytearray(self._body())
        for _ in range(self._chance.choice((1, 1, 2, 8, 64))):
            body[self._place(body)] = self._chance.randrange(256)
        return Hostile("bytes changed", bytes(body))

    def _spliced(self) -> Hostile:
        one, other = self._body(), self._body()
        start, end = sorted((self._place(other), self._place(other)))
        place = self._place(one)
        return Hostile("parts of two", one[:place] + other[start:end] + one[place:])

    def _huge_varint(self) -> Hostile:
        body, place = self._body(), 0
        # Behind a tag a length is expected, so that is where it hurts.
        for _ in range(self._chance.randrange(1, 40)):
            place = body.find(b"\x0a", place + 1)
        huge = self._chance.choice((_VARINT_64, b"\xff" * 10, b"\xff\xff\xff\xff\x0f", b"\x80" * 9 + b"\x00"))
        return Hostile("huge varint", body[: place + 1] + huge + body[place + 2 :])

    def _bad_text(self) -> Hostile:
        body = bytearray(self._body())
        place = body.find(b"gen_ai")
        place = self._place(body) if place < 0 or self._chance.random() < 0.5 else place
        body[place : place + 2] = self._chance.choice((b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80", b"\0\0"))
        return Hostile("bad UTF-8", bytes(body))

    def _deep_value(self) -> Hostile:
        depth = self._chance.choice(_DEPTHS)
        return Hostile(f"{depth} values deep", _deep(depth))

    def _odd_fields(self) -> Hostile:
        extreme, name = self._chance.choice(_EXTREMES), self._chance.choice(_ODD_KEYS)
        moment = self._chance.choice((0, 1, 2**63, 2**64 - 1))
        made = span({name: extreme, "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"})
        made.start_time_unix_nano = moment if self._chance.random() < 0.5 else made.start_time_unix_nano
        made.span_id = self._chance.choice((b"", bytes(8), b"\xff" * 8, bytes(20), self._chance.randbytes(8)))
        made.trace_id = self._chance.choice((made.trace_id, bytes(16), self._chance.randbytes(16), b"1"))
        many = self._chance.choice((0, 0, 0, 3_000))
        made.attributes.extend([made.attributes[0]] * many)
        return Hostile("absurd values", request(made))

    def _noise(self) -> Hostile:
        return Hostile("noise", self._chance.randbytes(self._chance.choice((0, 1, 7, 100, 5_000))))

    def _bomb(self) -> Hostile:
        encoding = self._chance.choice(list(_PACKERS))
        return Hostile(f"{encoding} bomb", _bomb(encoding), encoding=encoding)

    def _broken_compression(self) -> Hostile:
        packed = gzip.compress(self._body(), 1)
        made = self._chance.choice((packed[: self._place(packed)], packed + b"more", packed * 2, self._body()))
        named = self._chance.choice(("gzip", "zstd", "deflate", "br", "gzip, gzip"))
        return Hostile("broken compression", made, encoding=named)

    def _wrong_type(self) -> Hostile:
        types = ("", "text/plain", "application/x-protobuf; charset=\xff", "application/grpc", JSON, "a" * 2_000)
        return Hostile("wrong content type", self._body(), content_type=self._chance.choice(types))

    def _hostile_json(self) -> Hostile:
        message = json_format.MessageToDict(ExportTraceServiceRequest.FromString(request(span({"n": 1, "f": 0.5}))))
        text = json.dumps(message)
        for key in ("startTimeUnixNano", "intValue", "doubleValue", "kind", "spanId"):
            if self._chance.random() < 0.4:
                place = text.find(f'"{key}": ') + len(key) + 4
                end = min(found for mark in ",}" if (found := text.find(mark, place)) > 0)
                text = text[:place] + self._chance.choice(_NUMBERS) + text[end:]
        return Hostile("hostile JSON", text.encode("utf-8", "surrogatepass"), JSON)

    def _deep_json(self) -> Hostile:
        depth = self._chance.choice((50, 900, 100_000))
        opened, closed = self._chance.choice((("[", "]"), ('{"arrayValue":{"values":[', "]}}")))
        text = '{"resourceSpans":' + opened * depth + closed * self._chance.choice((0, depth)) + "}"
        return Hostile("deep JSON", text.encode(), JSON)


def for_grpc(hostile: Hostile) -> Hostile:
    """Return what can be sent through the other door: the bytes alone."""
    return replace(hostile, content_type=PROTOBUF, encoding="")


@cache
def _bomb(encoding: str) -> bytes:
    return _PACKERS[encoding](bytes(BOMB_BYTES))


@cache
def _deep(depth: int) -> bytes:
    """Return a request whose attribute is a list in a list in a list."""
    value = b"\x0a\x01x"
    for _ in range(depth):
        inner = b"\x0a" + _varint(len(value)) + value
        value = b"\x2a" + _varint(len(inner)) + inner
    pair = b"\x0a\x04deep\x12" + _varint(len(value)) + value
    whole = span().SerializeToString() + b"\x4a" + _varint(len(pair)) + pair
    for tag in (b"\x12", b"\x12", b"\x0a"):
        whole = tag + _varint(len(whole)) + whole
    return whole


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
