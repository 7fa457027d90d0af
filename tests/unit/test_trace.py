"""One trace: its tree, what its history cost, and what its tokens were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ledger_rows import call, hotel_trace, span, trace_frame
from spanledger_analytics.parts import parts
from spanledger_analytics.resent import resent
from spanledger_analytics.tree import facts, nodes

START = datetime(2026, 11, 3, 9, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_hotel_agent_pays_for_its_history() -> None:
    split = resent(trace_frame(hotel_trace(1, START)))
    assert [(each.new_tokens, each.resent_tokens, each.output_tokens) for each in split.calls] == [
        (3000, 0, 50),
        (1500, 3050, 350),
        (500, 4900, 200),
    ]
    assert (split.input_tokens, split.new_tokens) == (12_950, 5_000)
    assert (split.billed_usd, split.once_usd) == (Decimal("0.147500000000"), Decimal("0.068000000000"))
    assert split.factor is not None
    assert round(split.factor, 2) == 2.17


def test_cached_history_is_charged_what_it_really_cost() -> None:
    split = resent(
        trace_frame(
            [
                call(1, 1, START, "claude-sonnet-4-5", 0, 100, cache_write=10_000),
                call(1, 2, after(2), "claude-sonnet-4-5", 400, 100, cache_read=10_000, cache_write=600),
            ]
        )
    )
    assert [(each.new_tokens, each.resent_tokens) for each in split.calls] == [(10_000, 0), (900, 10_100)]
    # 10,000 reads at $0.30 and 100 of the 1,000 fresh tokens, which cost 400 x $3 + 600 x $3.75 per million.
    assert split.resent_usd == Decimal("0.003") + Decimal("0.000345")
    assert split.billed_usd is not None
    assert split.once_usd == split.billed_usd - Decimal("0.003345")


def test_a_prefix_cached_by_another_request_is_new_text_at_the_cache_price() -> None:
    split = resent(trace_frame([call(1, 1, START, "claude-sonnet-4-5", 1000, 0, cache_read=9000)]))
    assert [(each.new_tokens, each.resent_tokens, each.resent_usd) for each in split.calls] == [(10_000, 0, Decimal(0))]


def test_calls_that_continue_nothing_send_only_new_text() -> None:
    parallel = [call(1, 1, START, uncached=100), call(1, 2, after(0.5), uncached=500)]
    shorter = [call(1, 1, START, uncached=500), call(1, 2, after(2), uncached=100)]
    embeddings = [
        call(1, n, after(2 * n), "text-embedding-3-small", 100 * n, 0, operation="embeddings") for n in (1, 2)
    ]
    other_session = [call(1, 1, START, session_id="a"), call(1, 2, after(2), uncached=2000, session_id="b")]
    fewer_messages = [call(1, 1, START, message_count=4), call(1, 2, after(2), uncached=2000, message_count=2)]
    for rows in (parallel, shorter, embeddings, other_session, fewer_messages):
        split = resent(trace_frame(rows))
        assert split.new_tokens == split.input_tokens
        assert split.resent_usd == 0


def test_agents_below_one_root_have_conversations_of_their_own() -> None:
    root = span(1, 0, START, role="agent")
    inner = [span(1, n, START, role="agent", parent_span_id=root["span_id"]) for n in (1, 2)]
    calls = [
        call(1, 3, after(1), uncached=1000, output=0, parent_span_id=inner[0]["span_id"]),
        call(1, 4, after(3), uncached=5000, output=0, parent_span_id=inner[1]["span_id"]),
        call(1, 5, after(5), uncached=1500, output=0, parent_span_id=inner[0]["span_id"]),
    ]
    split = resent(trace_frame([root, *inner, *calls]))
    assert [each.resent_tokens for each in split.calls] == [0, 0, 1000]


def test_reasoning_is_not_sent_again() -> None:
    rows = [call(1, 1, START, uncached=1000, output=500, reasoning=400), call(1, 2, after(2), uncached=1150)]
    assert [each.resent_tokens for each in resent(trace_frame(rows)).calls] == [0, 1100]


def test_calls_without_a_price_are_split_but_not_summed() -> None:
    rows = [call(1, 1, START, "llama-4-local"), call(1, 2, after(2), "llama-4-local", uncached=3000)]
    split = resent(trace_frame(rows))
    assert (split.input_tokens, split.new_tokens) == (4000, 2900)
    assert (split.billed_usd, split.resent_usd, split.once_usd, split.factor) == (None, None, None, None)


def test_the_tree_is_read_depth_first_and_sums_what_is_below() -> None:
    tree = nodes(trace_frame(hotel_trace(1, START)))
    assert [(node.span["name"], node.depth, node.calls, str(node.cost_usd)) for node in tree] == [
        ("invoke_agent hotel-search", 0, 3, "0.147500000000"),
        ("chat gpt-4-turbo", 1, 1, "0.031500000000"),
        ("execute_tool search", 1, 0, "None"),
        ("chat gpt-4-turbo", 1, 1, "0.056000000000"),
        ("execute_tool availability", 1, 0, "None"),
        ("chat gpt-4-turbo", 1, 1, "0.060000000000"),
    ]
    assert [node.offset_us for node in tree] == [0, 100_000, 1_500_000, 2_500_000, 4_700_000, 5_200_000]
    assert [node.parent for node in tree] == [None, 0, 0, 0, 0, 0]


def test_failures_and_missing_prices_are_counted_up_the_tree() -> None:
    root = span(1, 0, START, role="agent")
    agent = span(1, 1, after(1), role="agent", status="error", parent_span_id=root["span_id"])
    failed = span(1, 2, after(2), role="tool", status="error", parent_span_id=agent["span_id"])
    unpriced = call(1, 3, after(3), "llama-4-local", parent_span_id=agent["span_id"])
    tree = nodes(trace_frame([root, agent, failed, unpriced]))
    assert [(node.errors, node.calls, node.unpriced_calls, node.cost_usd) for node in tree] == [
        (2, 1, 1, None),
        (2, 1, 1, None),
        (1, 0, 0, None),
        (0, 1, 1, None),
    ]


def test_orphans_and_rings_of_parents_are_shown_once_each() -> None:
    orphan = span(1, 1, START, parent_span_id="ffffffffffffffff")
    ring = [span(1, 2, after(1)), span(1, 3, after(2))]
    ring[0]["parent_span_id"], ring[1]["parent_span_id"] = ring[1]["span_id"], ring[0]["span_id"]
    itself = span(1, 4, after(3))
    itself["parent_span_id"] = itself["span_id"]
    tree = nodes(trace_frame([orphan, *ring, itself]))
    assert [(node.span["span_id"], node.depth) for node in tree] == [
        (orphan["span_id"], 0),
        (ring[0]["span_id"], 0),
        (ring[1]["span_id"], 1),
        (itself["span_id"], 0),
    ]


def test_a_chain_of_a_thousand_spans_is_no_trouble() -> None:
    chain = [span(1, 0, START)]
    for number in range(1, 1000):
        chain.append(span(1, number, after(number), parent_span_id=chain[-1]["span_id"]))
    assert [node.depth for node in nodes(trace_frame(chain))] == list(range(1000))


def test_facts_count_charged_calls_only() -> None:
    rows = hotel_trace(1, START)
    rows.append(call(1, 9, after(6), "llama-4-local", 10, 1, status="error"))
    rows.append(call(1, 10, after(6)) | {"duplicate_of": rows[1]["span_id"], "cost_usd": None})
    found = facts(trace_frame(rows))
    assert (found.spans, found.calls, found.unpriced_calls, found.errors) == (8, 4, 1, 1)
    assert (found.input_tokens, found.output_tokens) == (12_960, 601)
    assert (found.cost_usd, found.duration_us) == (Decimal("0.147500000000"), 7_400_000)
    assert (found.retries, found.retry_usd, found.tools_usd) == (0, None, None)


def test_facts_keep_retries_and_declared_charges_out_of_the_cost() -> None:
    repeated = call(1, 1, START, uncached=1000, output=0, attempts=3, retry_cost_usd=Decimal("0.002"))
    found = facts(trace_frame([repeated, span(1, 2, after(2), role="tool", cost_usd=Decimal("0.25"))]))
    assert (found.cost_usd, found.retries, found.retry_usd, found.tools_usd) == (
        Decimal("0.00125"),
        2,
        Decimal("0.002"),
        Decimal("0.25"),
    )


def test_parts_add_up_to_what_was_billed() -> None:
    rows = [
        call(1, 1, START, "claude-sonnet-4-5", 100, 10, cache_read=2000, cache_write=300),
        call(1, 2, after(2), "gpt-5", 1000, 500, reasoning=400),
        call(1, 3, after(4), "llama-4-local"),
    ]
    split = parts(trace_frame(rows))
    assert [(part.name, part.tokens, str(part.cost_usd.normalize())) for part in split] == [
        ("input, uncached", 1100, "0.00155"),
        ("cache read", 2000, "0.0006"),
        ("cache write", 300, "0.001125"),
        ("output", 110, "0.00115"),
        ("reasoning", 400, "0.004"),
    ]
    assert sum(part.cost_usd for part in split) == rows[0]["cost_usd"] + rows[1]["cost_usd"]
