"""Reading server-sent events as they pass, however they are cut into pieces."""

from __future__ import annotations

from typing import Literal

import pytest

from spanledger import bodies, faults
from spanledger.bodies import Body, Events
from spanledger.call import Call

EVENTS = (b'data: {"n": 1}\n\n', b'data: {"n": 2}\r\n\r\n', b'data: {"ours": 1}\n\n', b"data: [DONE]\n\n")


class Heard(Call):
    """A call that only listens, and hides what says `ours`."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.finished = 0

    @property
    def hides_usage(self) -> bool:
        return True

    def hear(self, event: object) -> bool:
        self.events.append(event)
        return isinstance(event, dict) and "ours" not in event

    def finish(self, error: BaseException | None = None, *, abandoned: bool = False) -> None:
        self.finished += 1


class Whole(Heard):
    """A call that keeps what it is given to read."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[object] = []

    @property
    def answers_in(self) -> Literal["json", "text", "bytes"]:
        return "json"

    def read(self, body: object) -> None:
        self.bodies.append(body)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_found_in_pieces_of_any_size(size: int) -> None:
    call = Heard()
    reader = Events(call)
    wire = b"".join(EVENTS)
    passed = b"".join(reader.feed(wire[start : start + size]) for start in range(0, len(wire), size))
    assert passed + reader.end() == EVENTS[0] + EVENTS[1] + EVENTS[3]
    assert (call.events, call.finished) == ([{"n": 1}, {"n": 2}, {"ours": 1}], 1)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events_end_in_every_way_that_they_may(end: bytes, size: int) -> None:
    call = Heard()
    reader = Events(call)
    wire = b"".join(b'data: {"n": %d}%b' % (number, end) for number in range(3))
    passed = b"".join(reader.feed(wire[start : start + size]) for start in range(0, len(wire), size))
    assert passed + reader.end() == wire
    assert call.events == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_who_reads_no_further_than_an_event_has_the_call_ended_by_it() -> None:
    """LiteLLM leaves Anthropic's streams open at `message_delta`, and reads `message_stop` only if it came along."""
    last, stop = b'event: message_delta\ndata: {"n": 1}\n\n', b'event: message_stop\ndata: {"n": 2}\n\n'
    finished = []
    for pieces in ([last], [last + stop], [last, stop]):
        call = Heard()
        reader = Events(call, b"event: message_delta")
        assert [reader.feed(piece) for piece in pieces] == pieces
        finished.append(call.finished > 0)
    assert finished == [True, True, True]


def test_an_event_without_end_is_neither_kept_for_ever_nor_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BODY_BYTES", 1000)
    call = Heard()
    reader = Events(call)
    pieces = [b"data: " + b"x" * 500, b"x" * 600, b"x" * 700, b"x\n\n"]
    assert b"".join(reader.feed(piece) for piece in pieces) + reader.end() == b"".join(pieces)
    assert (call.events, call.finished) == ([], 1)


def test_a_body_that_is_read_again_is_read_for_its_usage_once() -> None:
    call, before = Whole(), faults.counts()
    reader = Body(call)
    for _ in range(2):
        assert reader.feed(b'{"n": ') + reader.feed(b"1}") == b'{"n": 1}'
        reader.end()
    assert (call.bodies, faults.counts()) == ([{"n": 1}], before)
