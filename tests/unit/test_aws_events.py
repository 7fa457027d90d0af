"""Amazon's event streams are read as bytes pass, however they are cut."""

from __future__ import annotations

from typing import Any

import pytest

from spanledger import faults
from spanledger.sdks.aws_events import AwsEvents
from spanledger_cli.demo.event_stream import Message

WIRE = b"".join(Message(kind, {"n": number}).encode() for number, kind in enumerate(("messageStart", "metadata")))


class Call:
    """What a reader needs of a call."""

    def __init__(self) -> None:
        self.heard: list[tuple[str | None, bytes]] = []
        self.finished = 0

    def hear(self, event: Any) -> bool:
        self.heard.append((event.headers.get(":event-type"), event.payload))
        return True

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("size", [1, 5, 16, 1000])
def test_events_are_heard_in_pieces_of_any_size_and_pass_as_they_came(size: int) -> None:
    call: Any = Call()
    reader = AwsEvents(call)
    passed = b"".join(reader.feed(WIRE[start : start + size]) for start in range(0, len(WIRE), size))
    assert passed + reader.end() == WIRE
    assert (call.heard, call.finished) == ([("messageStart", b'{"n": 0}'), ("metadata", b'{"n": 1}')], 1)


def test_what_is_no_event_stream_passes_and_is_counted_once() -> None:
    call: Any = Call()
    reader, before = AwsEvents(call), sum(faults.counts().values())
    assert reader.feed(b"<html>" * 10) + reader.feed(WIRE) + reader.end() == b"<html>" * 10 + WIRE
    assert (call.heard, call.finished, sum(faults.counts().values()) - before) == ([], 1, 1)
