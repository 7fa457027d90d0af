"""What the instrumentation writes, the collector reads: tokens, units and money, to the pico-dollar."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from hypothesis import given, settings as hypothesis_settings, strategies as st

from spanledger import names, settings
from spanledger.attributes import usage_attributes
from spanledger.record import Metered, Place, Record
from spanledger.tracing import SpanMaker
from spanledger.usage import INPUT_PARTS, OUTPUT_PARTS, Usage
from spanledger_collector.rows import convert

COUNTS = st.one_of(st.just(0), st.integers(1, 2_000_000))
USAGES = st.builds(
    Usage,
    **dict.fromkeys((*INPUT_PARTS, *OUTPUT_PARTS), COUNTS),
    units=st.dictionaries(st.sampled_from(["web_searches"]), st.integers(1, 9).map(Decimal)),
    state=st.just("reported"),
)
MODELS = st.sampled_from(
    [("openai", "gpt-4o-audio-preview"), ("openai", "gpt-5.5"), ("anthropic", "claude-sonnet-4-5")]
)


def send(provider: str, model: str, usage: Usage) -> dict[str, Any]:
    """Make a span as the instrumentation does and return the row that the collector makes of it."""
    start_ns = time.time_ns()
    record = Record(
        name=f"chat {model}",
        kind="client",
        place=Place(7, 8),
        start_ns=start_ns,
        end_ns=start_ns + 1_000_000,
        attributes={
            names.OPERATION: "chat",
            names.PROVIDER: provider,
            names.REQUEST_MODEL: model,
            **usage_attributes(usage),
        },
        metered=Metered(provider=provider, model=model, request_model=model, usage=usage),
    )
    converted = convert([SpanMaker(settings.load()).encode([record])], [start_ns])
    assert converted.dead == []
    rows: list[dict[str, Any]] = converted.rows.to_pylist(maps_as_pydicts="strict")
    return rows[0]


@hypothesis_settings(max_examples=150, deadline=None)
@given(MODELS, USAGES)
def test_every_part_and_the_cost_arrive_as_they_were_written(named: tuple[str, str], usage: Usage) -> None:
    row = send(*named, usage)
    sent = {part: getattr(usage, part) for part in (*INPUT_PARTS, *OUTPUT_PARTS)}
    assert {part: row[part] for part in sent} == sent
    assert (row["input_tokens"], row["output_tokens"]) == (usage.input_tokens, usage.output_tokens)
    assert row["units"] == dict(usage.units)
    assert row["cost_usd"] == row["reported_cost_usd"]
