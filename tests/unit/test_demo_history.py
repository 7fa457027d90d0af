"""The demo's history: labelled, reproducible, and consistent in itself."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from spanledger import names
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS
from spanledger_cli.demo.history import BATCH_SPANS, HISTORY_TAG, make_batches, make_hour
from spanledger_cli.demo.people import RUNAWAY_MODEL, RUNAWAY_USER
from spanledger_cli.demo.workload import hour_steps, is_runaway, past_hours

NOW = datetime(2026, 11, 22, 12, 34, 56, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def hour_bytes(seed: int = 7, hour: datetime = NOON) -> bytes:
    return make_hour(hour, hour_steps(seed, hour))


def spans_of(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


def attributes_of(span: Span) -> dict[str, object]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


def test_an_hour_has_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, sys; from datetime import datetime, UTC;"
        "from spanledger_cli.demo.history import make_hour; from spanledger_cli.demo.workload import hour_steps;"
        f"hour = datetime.fromtimestamp({NOON.timestamp()}, UTC);"
        "print(hashlib.sha256(make_hour(hour, hour_steps(7, hour))).hexdigest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert printed.strip() == hashlib.sha256(hour_bytes()).hexdigest()


def test_another_hour_or_seed_has_other_spans() -> None:
    ids = [
        {span.span_id for span in spans_of(body)}
        for body in (hour_bytes(), hour_bytes(seed=8), hour_bytes(hour=NOON + timedelta(hours=1)))
    ]
    assert all(ids)
    assert len(set.union(*ids)) == sum(map(len, ids))


def test_later_runs_send_the_same_spans_again_and_new_hours_only() -> None:
    first, later = (
        {span.SerializeToString() for batch in make_batches(7, moment, days=2) for span in spans_of(batch.body)}
        for moment in (NOW, NOW + timedelta(hours=3))
    )
    dropped, added = first - later, later - first
    start = int((NOW - timedelta(days=2)).timestamp()) // 3600 * 3600
    assert {Span.FromString(span).start_time_unix_nano // (3600 * 10**9) * 3600 for span in dropped} <= {
        start + 3600 * number for number in range(3)
    }
    assert {Span.FromString(span).start_time_unix_nano // (3600 * 10**9) * 3600 for span in added} <= {
        start + 3600 * (48 + number) for number in range(3)
    }


def test_only_complete_hours_are_made() -> None:
    hours = list(past_hours(NOW, 30))
    assert len(hours) == 720
    assert (hours[0], hours[-1]) == (datetime(2026, 10, 23, 12, tzinfo=UTC), datetime(2026, 11, 22, 11, tzinfo=UTC))


@pytest.mark.parametrize("offset", [0, 11, 29, 100])
def test_any_thirty_days_hold_one_runaway_loop(offset: int) -> None:
    hours = past_hours(NOW + timedelta(days=offset, hours=offset), 30)
    assert sum(map(is_runaway, hours)) == 1


def test_the_runaway_loop_is_one_users_and_grows() -> None:
    hour = next(filter(is_runaway, past_hours(NOW, 30)))
    calls = [step for step in hour_steps(7, hour) if step.model == RUNAWAY_MODEL]
    assert {step.tags["user_id"] for step in calls} == {RUNAWAY_USER.user_id}
    by_trace: dict[bytes, list[int]] = {}
    for step in calls:
        assert step.usage is not None
        by_trace.setdefault(step.trace_id, []).append(step.usage.input_tokens)
    assert len(by_trace) == 3
    assert all(sizes == sorted(sizes) and len(sizes) >= 50 for sizes in by_trace.values())


def test_every_trace_is_whole_and_every_id_its_own() -> None:
    spans = [span for batch in make_batches(7, NOW, days=3) for span in spans_of(batch.body)]
    roots = {span.trace_id: span.span_id for span in spans if not span.parent_span_id}
    assert len({span.span_id for span in spans}) == len(spans)
    assert all(span.parent_span_id in (b"", roots[span.trace_id]) for span in spans)
    assert all(span.start_time_unix_nano < span.end_time_unix_nano for span in spans)
    assert Counter(span.name.split(" ")[0] for span in spans).keys() == {
        "invoke_agent",
        "execute_tool",
        "chat",
        "embeddings",
    }


def test_spans_are_labelled_and_carry_no_price() -> None:
    for span in spans_of(hour_bytes()):
        attributes = attributes_of(span)
        assert attributes[HISTORY_TAG] == "true"
        assert attributes.keys() >= {names.USER_ID, names.TEAM_ID, names.CUSTOMER_ID, names.FEATURE, names.SESSION_ID}
        assert not attributes.keys() & {names.COST_USD, names.COST_PICO_USD}


def test_token_parts_of_every_call_fit_their_totals() -> None:
    for hour in past_hours(NOW, 7):
        for step in hour_steps(7, hour):
            if step.usage:
                assert step.usage.state == "reported"
                assert all(getattr(step.usage, part) >= 0 for part in (*INPUT_PARTS, *OUTPUT_PARTS))


def test_batches_are_of_whole_hours_and_name_their_last_span() -> None:
    batches = list(make_batches(7, NOW, days=5))
    assert all(batch.spans >= BATCH_SPANS for batch in batches[:-1])
    for batch in batches:
        spans = spans_of(batch.body)
        assert batch.spans == len(spans)
        assert batch.last_span_id in {span.span_id.hex() for span in spans}


def test_the_policy_did_in_the_history_what_it_does_now() -> None:
    steps = [step for hour in past_hours(NOW, 2) for step in hour_steps(7, hour) if step.controls]
    done = Counter((step.tags["feature"], step.model, step.controls[names.GUARD_ACTION]) for step in steps)
    (scout,) = {step.trace_id for step in steps if step.tags["feature"] == "flight-scout"}
    actions = [str(step.controls[names.GUARD_ACTION]) for step in steps if step.trace_id == scout]
    assert actions == sorted(actions), "what is refused once stays so"
    assert {key: count for key, count in done.items() if key[0] != "flight-scout" and key[2] != "warn"} == {
        ("newsletter", "gpt-5.5", "allow"): 6,
        ("newsletter", "gpt-5.4-mini", "degrade"): 8,
        ("faq", "gpt-4o-mini", "allow"): 12,
    }
    refused = [step for step in steps if step.controls[names.GUARD_ACTION] == "block"]
    assert {(step.usage, step.controls[names.GUARD_POLICY]) for step in refused} == {
        (None, "one run of the flight scout")
    }
    saved = [step.controls[names.AVOIDED_PICO_USD] for step in steps if step.controls.get(names.ROUTED_FROM)]
    assert all(isinstance(pico, int) and pico > 0 for pico in saved)
    assert len(saved) == 8
