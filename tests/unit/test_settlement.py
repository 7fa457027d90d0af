"""What whole traces say of their calls: one charge each, for the right person, however the trace came in."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from settled_rows import DAY, NOON, Books, Row, agent, metered, settled, span, traces, usage
from spanledger_collector import settlement
from spanledger_collector.plans import price_all

# Agents


def test_an_agent_is_charged_by_its_tokens_only_where_nothing_below_it_has_usage() -> None:
    books = settled(agent(1), span(2, 1), agent(3), span(4, 3), metered(5, 4))
    assert books.view("cost_usd", "unpriced_reason", "cost_source", "billing_basis") == {
        (1, 1): {
            "cost_usd": Decimal("0.00225"),
            "unpriced_reason": None,
            "cost_source": "list",
            "billing_basis": "usage",
        },
        (1, 2): dict.fromkeys(("cost_usd", "unpriced_reason", "cost_source", "billing_basis")),
        (1, 3): {"cost_usd": None, "unpriced_reason": "aggregate", "cost_source": None, "billing_basis": None},
        (1, 4): dict.fromkeys(("cost_usd", "unpriced_reason", "cost_source", "billing_basis")),
        (1, 5): {
            "cost_usd": Decimal("0.00225"),
            "unpriced_reason": None,
            "cost_source": "list",
            "billing_basis": "usage",
        },
    }


def test_of_nested_agents_the_innermost_of_each_path_is_charged() -> None:
    books = settled(agent(1), agent(2, 1), agent(3, 2), agent(4, 2), span(5, 4), agent(6, 1), metered(7, 6))
    assert books.charged() == {3, 4, 7}


def test_an_agent_without_a_price_is_charged_what_it_claims_and_says_so() -> None:
    claim: Row = {"request_model": "llama-at-home", "aggregate_cost_usd": Decimal("0.5")}
    books = settled(agent(1, **claim))
    assert books.view("cost_usd", "cost_other", "cost_input", "cost_source", "unpriced_reason") == {
        (1, 1): {
            "cost_usd": Decimal("0.5"),
            "cost_other": Decimal("0.5"),
            "cost_input": Decimal(0),
            "cost_source": "declared",
            "unpriced_reason": None,
        }
    }


def test_an_agent_with_neither_price_nor_claim_is_an_unpriced_call() -> None:
    books = settled(agent(1, request_model="llama-at-home"))
    assert books.view("cost_usd", "unpriced_reason") == {(1, 1): {"cost_usd": None, "unpriced_reason": "unknown_model"}}


@pytest.mark.parametrize(
    ("child", "charged"),
    [
        (metered(2, 1, usage_state="estimated"), {2}),
        (metered(2, 1, request_model="llama", response_model="llama"), set()),
        (metered(2, 1, usage_state="missing", unpriced_reason="no_usage", **usage(0, 0)), {1}),
        (span(2, 1, role="tool", cost_usd=Decimal("0.1"), cost_source="declared"), {1, 2}),
    ],
    ids=["estimated", "without a price", "without usage", "a paid tool"],
)
def test_what_counts_as_usage_below_an_agent(child: Row, charged: set[int]) -> None:
    assert settled(agent(1), child).charged() == charged


def test_a_late_call_takes_the_charge_over_and_says_what_it_replaces() -> None:
    books = settled(agent(1))
    assert books.charged() == {1}
    books.book([metered(2, 1, start_time=NOON + DAY)])
    (reversed_,) = books.settle()
    assert (reversed_["span_id"], reversed_["reason"], reversed_["cost_usd"]) == (f"{1:016x}", "booked", None)
    assert books.charged() == {2}


# Tags


def test_each_tag_comes_from_the_nearest_span_above_that_has_it() -> None:
    books = settled(
        span(1, user_id="root", team_id="root", feature="root"),
        span(2, 1, team_id="near"),
        metered(3, 2, session_id="own"),
        metered(4, feature="alone"),
    )
    names = ("user_id", "team_id", "customer_id", "feature", "session_id")
    assert {number: tuple(row.values()) for (_, number), row in books.view(*names).items()} == {
        1: ("root", "root", None, "root", None),
        2: (None, "near", None, None, None),
        3: ("root", "near", None, "root", "own"),
        4: (None, None, None, "alone", None),
    }


def test_a_root_that_comes_late_tags_what_is_below_it() -> None:
    books = settled(metered(2, 1))
    assert books.settle() == []
    books.book([span(1, user_id="u", start_time=NOON - DAY)])
    assert [(row["reason"], row["user_id"]) for row in books.settle()] == [("inherited", "u")]


def test_an_agent_that_is_charged_and_a_paid_tool_inherit_and_others_do_not() -> None:
    tool = span(3, 2, role="tool", cost_usd=Decimal("0.1"), cost_other=Decimal("0.1"), cost_source="declared")
    books = settled(span(1, user_id="u"), agent(2, 1), tool, span(4, 2))
    assert {number: row["user_id"] for (_, number), row in books.view("user_id").items()} == {
        1: "u",
        2: "u",
        3: "u",
        4: None,
    }
    assert books.charged() == {2, 3}


# One call, seen twice


def test_three_witnesses_in_three_segments_are_one_charge_in_every_order() -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    seen = [
        metered(1, trace=1, **same),
        metered(2, trace=2, dialect="litellm", **same),
        metered(3, trace=3, dialect="openinference", **same),
    ]
    for order in itertools.permutations(seen):
        books = Books()
        for row in order:
            books.book([row])
            books.settle([int(row["trace_id"], 16)])
        assert books.charged() == {1}
        marks = {number: row["duplicate_of"] for (_, number), row in books.view("duplicate_of").items()}
        assert marks == {1: None, 2: f"{1:016x}", 3: f"{1:016x}"}


def test_a_repeat_that_was_marked_within_its_batch_gets_its_charge_where_it_is_the_call_after_all() -> None:
    """The gateway counts two tokens less than the framework, ours one less: only ours is the same call as both."""
    same: Row = {"response_id": "chatcmpl-0123456789"}
    gateway = metered(2, dialect="litellm", tokens=(1000, 101), **same)
    framework = metered(3, dialect="openinference", tokens=(1000, 102), **same)
    ours = metered(1, tokens=(1000, 100), **same)
    parts, whole = Books(), settled(ours, gateway, framework)
    for batch in ([gateway, framework], [ours]):
        parts.book(batch)
        parts.settle()
    assert parts.charged() == whole.charged() == {1, 3}
    assert parts.view() == whole.view()


def test_a_call_whose_witness_is_not_at_hand_stays_marked() -> None:
    books = Books()
    same: Row = {"response_id": "chatcmpl-0123456789"}
    books.book([metered(1, trace=1, **same), metered(2, trace=2, dialect="openinference", **same)])
    marked = books.rows.slice(1)
    books.rows = marked
    assert books.settle() == []


@pytest.mark.parametrize("later", [timedelta(seconds=2), timedelta(days=1)])
def test_what_a_cache_answers_again_later_is_no_repeat(later: timedelta) -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    books = settled(metered(1, **same), metered(2, trace=2, dialect="litellm", start_time=NOON + later, **same))
    assert books.charged() == {1, 2}


def test_what_a_cache_answered_stands_for_no_call() -> None:
    same: Row = {"response_id": "chatcmpl-0123456789"}
    free: Row = {"billing_basis": "cached", "cost_usd": Decimal(0)}
    books = settled(metered(1, **same, **free), metered(2, trace=2, dialect="litellm", **same))
    assert {number: row["duplicate_of"] for (_, number), row in books.view("duplicate_of").items()} == {
        1: None,
        2: None,
    }


# Prices


def test_a_call_without_a_price_gets_one_when_the_book_has_it_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    books = settled(metered(1, request_model="gpt-99", response_model="gpt-99"), agent(2, request_model="gpt-99"))
    assert books.charged() == set()

    def priced_as_gpt_5(rows: Any) -> Any:
        for name in ("request_model", "response_model"):
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.schema.field(name), [["gpt-5"] * rows.num_rows])
        return price_all(rows)

    monkeypatch.setattr(settlement, "price_all", priced_as_gpt_5)
    assert [row["reason"] for row in books.settle()] == ["priced", "aggregate"]
    assert books.charged() == {1, 2}
    monkeypatch.undo()
    assert books.settle() == []


# Broken and large traces


def test_rings_missing_parents_and_several_roots_are_settled_like_any_trace() -> None:
    books = settled(
        agent(1, 1),
        agent(2, 4, start_time=NOON + timedelta(seconds=1)),
        span(3, 2, user_id="ring"),
        agent(4, 3, start_time=NOON + timedelta(seconds=2)),
        metered(5, 99),
        metered(6, 4),
    )
    # The ring is cut above 3, its earliest span, so that 4 is below 3, and 2 below 4.
    assert books.charged() == {1, 2, 5, 6}
    assert books.view("user_id")[1, 6] == {"user_id": "ring"}


@pytest.mark.parametrize("shape", ["chain", "star", "ring"])
def test_a_trace_of_10000_spans_is_settled_at_once(shape: str) -> None:
    count = 10_000
    parents = {"chain": range(1, count), "star": [1] * (count - 1), "ring": [*range(3, count + 1), 1]}[shape]
    rows = [agent(1, 2 if shape == "ring" else None, user_id="u")]
    rows += [agent(number, parent, start_time=NOON + DAY) for number, parent in enumerate(parents, start=2)]
    books = settled(*rows)  # a walk up from each span would take half an hour
    assert len(books.charged()) == (count - 1 if shape == "star" else 1)
    assert books.settle() == []


# Any order


def test_a_repeat_gives_back_the_tags_that_it_had_inherited() -> None:
    """The call below the root is a repeat of one in another trace, which comes when it had been settled already."""
    same: Row = {"response_id": "chatcmpl-0123456789"}
    books = settled(span(1, user_id="u"), metered(2, 1, dialect="litellm", **same))
    assert books.view("user_id")[1, 2] == {"user_id": "u"}
    books.book([metered(11, trace=2, service_name="app", **same)])
    books.settle([2])
    assert books.view("duplicate_of", "user_id")[1, 2] == {"duplicate_of": f"{11:016x}", "user_id": None}


@settings(max_examples=50, deadline=None)
@given(traces(), st.randoms(use_true_random=False))
def test_in_whatever_parts_a_trace_comes_the_books_end_the_same(rows: list[Row], chance: random.Random) -> None:
    whole, parts, touched = settled(*rows), Books(), set[int]()
    shuffled = chance.sample(rows, len(rows))
    while shuffled:
        cut = chance.randint(1, len(shuffled))
        parts.book(shuffled[:cut])
        touched |= {int(row["trace_id"], 16) for row in shuffled[:cut]}
        shuffled = shuffled[cut:]
        if not shuffled or chance.random() < 0.7:
            parts.settle(touched)
            touched.clear()
    assert parts.view() == whole.view()
    assert parts.settle() == []


@settings(max_examples=30, deadline=None)
@given(traces())
def test_on_no_path_are_two_charged_and_no_usage_is_left_out(rows: list[Row]) -> None:
    books = settled(*rows)
    by_id = {(row["trace_id"], row["span_id"]): row for row in rows}
    charged = books.charged()
    for row in rows:
        path = [row]
        while (above := by_id.get((path[-1]["trace_id"], path[-1]["parent_span_id"]))) is not None:
            path.append(above)
        agents = [int(one["span_id"], 16) for one in path if one["role"] == "agent"]
        if int(row["span_id"], 16) in charged:
            assert not charged.intersection(agents) - {int(row["span_id"], 16)}
    if any(row["role"] in {"agent", "inference"} for row in rows):
        assert charged
