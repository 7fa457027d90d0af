"""Files of bodies: every form that the Collector's file exporter writes, and what is damaged in them."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable

import pytest

from otlp_bodies import request, span
from spanledger_collector import stored as stored_module
from spanledger_collector.bodies import read_body
from spanledger_collector.json_messages import document_of
from spanledger_collector.stored import Fault, Stored, read_stored

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODIES = [request(span(number=number)) for number in (1, 2, 3)]
JSONS = [json.dumps(document_of(next(read_body(body)).request)).encode() for body in BODIES]


def prefixed(*bodies: bytes) -> bytes:
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


def lines(*bodies: bytes) -> bytes:
    return b"".join(body + b"\n" for body in bodies)


def read(data: bytes) -> list[Stored | Fault]:
    return list(read_stored(io.BytesIO(data)))


FORMS: dict[str, tuple[bytes, list[bytes]]] = {
    "json lines": (lines(*JSONS), JSONS),
    "protobuf, each with its length": (prefixed(*BODIES), BODIES),
    "json, each compressed": (prefixed(*map(zstd.compress, JSONS)), JSONS),
    "protobuf, each compressed": (prefixed(*map(zstd.compress, BODIES)), BODIES),
    "json lines, compressed as a whole": (zstd.compress(lines(*JSONS)), JSONS),
    "protobuf, compressed as a whole": (zstd.compress(prefixed(*BODIES)), BODIES),
    "several frames, as after a restart": (b"".join(zstd.compress(lines(one)) for one in JSONS), JSONS),
    "json lines in gzip": (gzip.compress(lines(*JSONS)), JSONS),
    "protobuf in gzip of several members": (b"".join(gzip.compress(prefixed(one)) for one in BODIES), BODIES),
    "one body in protobuf": (BODIES[0], BODIES[:1]),
    "one body in json": (JSONS[0], JSONS[:1]),
    "lines without an end, and empty ones": (lines(*JSONS[:2]) + b"\n" + JSONS[2], JSONS),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_told_by_its_content(form: str) -> None:
    data, expected = FORMS[form]
    found = read(data)
    assert [one.data.strip() for one in found if isinstance(one, Stored)] == [one.strip() for one in expected]
    assert len(found) == len(expected)


def test_a_document_on_many_lines_is_one_body() -> None:
    document = json.dumps(json.loads(JSONS[0]), indent=2).encode()
    assert read(document) == [Stored("line 1", document)]


DAMAGES: dict[str, tuple[bytes, list[str]]] = {
    "a damaged line": (lines(JSONS[0], b'{"resourceSpans": }', JSONS[1]), ["line 1", "line 2", "line 3"]),
    "a torn tail": (prefixed(*BODIES)[:-5], ["byte 0", f"byte {4 + len(BODIES[0])}", "!ends in the middle of a body"]),
    "a torn length": (prefixed(BODIES[0]) + b"\0\0", ["byte 0", "!ends in the middle of a body"]),
    "an absurd length": (prefixed(BODIES[0]) + b"\xff" * 8, ["byte 0", "!says that 4294967295 bytes follow"]),
    "a damaged body": (
        prefixed(zstd.compress(JSONS[0])[:-4] + b"1234", zstd.compress(JSONS[1])),
        ["!can't be decompressed", f"byte {4 + len(zstd.compress(JSONS[0]))}"],
    ),
    "a torn gzip": (gzip.compress(lines(*JSONS))[:-9], ["line 1", "line 2", "line 3", "!can't be read"]),
    "a torn zstd": (zstd.compress(prefixed(BODIES[0])) + zstd.compress(BODIES[1])[:-9], ["byte 0", "!can't be read"]),
    "neither": (b"hello, world", ["!is neither OTLP in JSON nor in protobuf"]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_costs_itself_only_and_says_where_it_is(damage: str) -> None:
    data, expected = DAMAGES[damage]
    found = read(data)
    said = [one.place if isinstance(one, Stored) else f"!{one.reason}" for one in found]
    assert len(said) == len(expected)
    assert [one[: len(start)] for one, start in zip(said, expected, strict=True)] == expected


@pytest.mark.parametrize("pack", [lines, prefixed, lambda *bodies: prefixed(*map(zstd.compress, bodies))])
def test_a_body_over_the_limit_is_passed_over(pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_module, "MOST_BODY_BYTES", 2000)
    large = b'{"resourceSpans": [], "x": "' + b"x" * 4000 + b'"}'
    found = read(pack(JSONS[0], large, JSONS[1]))
    assert [type(one) for one in found[:2]] == [Stored, Fault]
