"""Bodies become priced rows; what can't comes back whole, with a reason, and can be replayed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otlp_bodies import START_NS, Value, recorded_bodies, request, span
from spanledger import names
from spanledger_collector import rows as rows_module
from spanledger_collector.row import MONEY_PARTS, SCHEMA
from spanledger_collector.rows import DAY_NS, Converted, Dead, convert

CALL: dict[str, Value] = {
    names.OPERATION: "chat",
    names.PROVIDER: "openai",
    names.REQUEST_MODEL: "gpt-5.5",
    names.INPUT_TOKENS: 1000,
    names.OUTPUT_TOKENS: 10,
}
JUNK = b"hello"


def converted(*bodies: bytes) -> Converted:
    return convert(bodies, [START_NS] * len(bodies), now_ns=START_NS)


def test_rows_are_priced() -> None:
    done = converted(request(span(CALL)))
    (row,) = done.rows.to_pylist()
    assert done.dead == []
    assert done.rows.schema == SCHEMA
    assert row["cost_usd"] == sum(row[part] for part in MONEY_PARTS) > 0
    assert isinstance(row["cost_usd"], Decimal)


@pytest.mark.parametrize("state", ["reported", "estimated"])
def test_usage_that_is_claimed_but_not_there_is_unpriced_and_not_free(state: str) -> None:
    bare = {key: value for key, value in CALL.items() if key not in (names.INPUT_TOKENS, names.OUTPUT_TOKENS)}
    (row,) = converted(request(span({**bare, names.USAGE_STATE: state}))).rows.to_pylist()
    assert (row["cost_usd"], row["usage_state"], row["unpriced_reason"]) == (None, "missing", "no_usage")


@pytest.mark.parametrize(
    "wire",
    [
        {names.INPUT_TOKENS: 2**63 - 1},
        {names.INPUT_TOKENS: -(2**63)},
        {"gen_ai.usage.raw": '{"cached_tokens":99999999999999999999999}'},
        {names.UNIT_PREFIX + "pages": "-1"},
    ],
)
def test_absurd_counts_are_unpriced_and_harm_no_other(wire: dict[str, Value]) -> None:
    done = converted(request(span({**CALL, **wire}), span(CALL, number=2)))
    assert done.dead == []
    assert done.rows["unpriced_reason"].to_pylist() == ["inconsistent", None]


@pytest.mark.parametrize("claim", [float("nan"), float("inf"), 1e300, -1e300, 1e6])
def test_absurd_claims_are_no_claims(claim: float) -> None:
    done = converted(request(span({**CALL, names.COST_USD: claim})))
    assert done.rows["reported_cost_usd"].to_pylist() == [None]


def test_no_bodies_are_no_rows() -> None:
    assert converted().rows.schema == SCHEMA
    assert converted(b"").rows.num_rows == 0


def test_unreadable_body_is_dead_whole_and_harms_no_other() -> None:
    done = converted(request(span(number=1)), JUNK, request(span(number=2)))
    assert done.rows["span_id"].to_pylist() == ["000000000000bb01", "000000000000bb02"]
    assert [(dead.body_index, dead.spans) for dead in done.dead] == [(1, None)]
    assert done.dead[0].reason.startswith("not an OTLP trace request")


def test_ingestion_time_is_that_of_the_body() -> None:
    bodies = [request(span(number=1)), JUNK, request(span(number=2))]
    done = convert(bodies, [START_NS, START_NS + 10**9, START_NS + 2 * 10**9], now_ns=START_NS)
    assert [moment.second for moment in done.rows["ingested_at"].to_pylist()] == [40, 42]


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (-401, "dated more than 400 days ago"),
        (-400, None),
        (1, None),
        (2, "dated more than a day ahead"),
    ],
)
def test_date_decides(days: int, reason: str | None) -> None:
    done = converted(request(span(start_time_unix_nano=START_NS + days * DAY_NS)))
    assert [dead.reason for dead in done.dead] == ([] if reason is None else [reason])
    assert done.rows.num_rows == (0 if reason else 1)


@pytest.mark.parametrize(
    "ids",
    [{"trace_id": b""}, {"trace_id": bytes(16)}, {"trace_id": b"short"}, {"span_id": b""}, {"span_id": bytes(8)}],
)
def test_span_without_an_id_is_dead(ids: dict[str, Any]) -> None:
    done = converted(request(span(number=1), span(number=2, **ids)))
    assert done.rows["span_id"].to_pylist() == ["000000000000bb01"]
    assert [dead.reason for dead in done.dead] == ["trace or span id isn't 16 and 8 bytes with any bit set"]


def test_dead_span_is_kept_as_a_request_that_can_be_replayed() -> None:
    late = span(CALL, number=3, start_time_unix_nano=START_NS + 3 * DAY_NS)
    body = ExportTraceServiceRequest()
    for scope, spans in (("first", [span(number=1)]), ("second", [span(number=2), late])):
        body.MergeFromString(request(*spans, scope=scope, resource={"service.name": scope}))
    (dead,) = converted(b"", body.SerializeToString()).dead
    expected = request(late, scope="second", resource={"service.name": "second"})
    assert dead == Dead(1, expected, "dated more than a day ahead")
    assert dead.spans is not None
    replayed = convert([dead.spans], [START_NS], now_ns=START_NS + 3 * DAY_NS)
    assert replayed.rows["service_name"].to_pylist() == ["second"]


def test_any_date_can_be_looked_at() -> None:
    ancient = request(span(start_time_unix_nano=1), span(number=2, start_time_unix_nano=2**64 - 1))
    done = convert([ancient], [START_NS], now_ns=START_NS, any_date=True)
    assert [str(moment) for moment in done.rows["start_time"].to_pylist()] == ["1970-01-01 00:00:00+00:00"]
    assert [dead.reason for dead in done.dead] == ["dated more than a day ahead"]


def test_the_plain_loop_gives_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = list(recorded_bodies().values())
    fast = converted(*bodies)
    monkeypatch.setattr(rows_module, "columns", None)
    assert converted(*bodies) == fast


def test_one_bad_body_changes_nothing_for_the_others() -> None:
    bodies = list(recorded_bodies().values())
    assert converted(*bodies, JUNK).rows == converted(*bodies).rows
