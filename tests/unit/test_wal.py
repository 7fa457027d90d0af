"""The log on disk: every whole record is read, whatever stands around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanledger_collector.errors import WalError
from spanledger_collector.wal import (
    HEADER_BYTES,
    MARKERS,
    Contents,
    Damage,
    Record,
    Segment,
    Signal,
    read_segment,
    record_header,
    segments,
    sound_length,
    wal_id,
)

PAYLOADS = (b"first", b"", b"third" * 50)


def written(*payloads: bytes) -> bytes:
    return b"".join(record_header(payload, 7) + payload for payload in payloads)


def segment_of(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "0000000001.wal"
    path.write_bytes(data)
    return path


def test_records_come_back_in_order_with_their_times(tmp_path: Path) -> None:
    path = segment_of(tmp_path, written(*PAYLOADS))
    assert read_segment(path) == Contents(tuple(Record(7, payload) for payload in PAYLOADS), ())


def test_each_record_says_its_signal(tmp_path: Path) -> None:
    records = tuple(Record(7, signal.encode(), signal) for signal in MARKERS)
    data = b"".join(record_header(record.payload, 7, record.signal) + record.payload for record in records)
    assert sound_length(data + b"SLL1 torn") == len(data)
    assert read_segment(segment_of(tmp_path, data)) == Contents(records, ())


def test_a_log_of_before_there_were_signals_is_traces(tmp_path: Path) -> None:
    old = bytes.fromhex("534c5731050000002302611407000000000000006669727374")
    assert read_segment(segment_of(tmp_path, old)) == Contents((Record(7, b"first", "traces"),), ())


@pytest.mark.parametrize("written_as", MARKERS)
@pytest.mark.parametrize("read_as", MARKERS)
def test_a_marker_that_was_damaged_into_another_is_damage(tmp_path: Path, written_as: Signal, read_as: Signal) -> None:
    data = MARKERS[read_as] + record_header(b"one", 7, written_as)[4:] + b"one"
    expected = (
        Contents((Record(7, b"one", read_as),), ()) if written_as == read_as else Contents((), (Damage(0, data),))
    )
    assert read_segment(segment_of(tmp_path, data)) == expected


@pytest.mark.parametrize("signal", MARKERS)
def test_reading_goes_on_at_the_next_record_of_any_signal(tmp_path: Path, signal: Signal) -> None:
    cut = written(b"hurt" * 10)[:-7]
    data = cut + record_header(b"after", 7, signal) + b"after"
    assert read_segment(segment_of(tmp_path, data)) == Contents((Record(7, b"after", signal),), (Damage(0, cut),))


@pytest.mark.parametrize("place", [0, 3, 4, 9, 13, HEADER_BYTES, HEADER_BYTES + 4])
def test_corrupt_middle_costs_only_its_own_record(tmp_path: Path, place: int) -> None:
    before, hurt, after = written(b"before"), bytearray(written(b"hurt!")), written(b"after")
    hurt[place] ^= 0xFF
    path = segment_of(tmp_path, before + hurt + after)
    expected = Contents((Record(7, b"before"), Record(7, b"after")), (Damage(len(before), bytes(hurt)),))
    assert read_segment(path) == expected


def test_bytes_missing_in_the_middle_are_stepped_over(tmp_path: Path) -> None:
    cut = written(b"hurt" * 10)[:-7]
    path = segment_of(tmp_path, cut + written(b"after"))
    assert read_segment(path) == Contents((Record(7, b"after"),), (Damage(0, cut),))


def test_record_inside_a_damaged_payload_is_not_taken_for_one(tmp_path: Path) -> None:
    hurt = bytearray(written(written(b"forged")))
    hurt[-1] ^= 0xFF
    hurt[HEADER_BYTES + HEADER_BYTES + 1] ^= 0xFF
    hurt += written(b"after")
    forged_whole = bytearray(written(written(b"forged") + b"tail"))
    forged_whole[-1] ^= 0xFF
    path = segment_of(tmp_path, bytes(hurt + forged_whole) + written(b"last"))
    assert [record.payload for record in read_segment(path).records] == [b"after", b"last"]


def test_a_tail_torn_at_any_byte_keeps_every_earlier_record(tmp_path: Path) -> None:
    whole = written(b"one", b"two")
    data = whole + written(b"last" + b"".join(MARKERS.values()))
    for length in range(len(whole), len(data)):
        assert sound_length(data[:length]) == len(whole)
        damages = (Damage(len(whole), data[len(whole) : length]),) if length > len(whole) else ()
        contents = read_segment(segment_of(tmp_path, data[:length]))
        assert contents == Contents((Record(7, b"one"), Record(7, b"two")), damages)


def test_only_sealed_segments_are_listed_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("0000000010.wal", "0000000009.wal", "0000000011.wal.open", "floor", "note.wal"):
        (tmp_path / name).write_bytes(b"")
    expected = [Segment(9, tmp_path / "0000000009.wal"), Segment(10, tmp_path / "0000000010.wal")]
    assert segments(tmp_path) == expected


def test_a_folder_without_a_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(WalError, match="has no readable id"):
        wal_id(tmp_path)
