"""One step of a trace as the dashboard lists it."""

from __future__ import annotations

from decimal import Decimal

from spanledger_analytics.tree import Node
from spanledger_dashboard.components.step import recorded


def test_what_was_said_and_heard_is_not_shown_to_who_looks_at_costs() -> None:
    attributes = {"gen_ai.input.messages": '"a secret"', "gen_ai.output.messages": '"another"', "plan": '"gold"'}
    node = Node(
        {"name": "chat gpt-4o", "attributes": attributes, "resource": {}}, 0, 0, 1, Decimal(1), 1, unpriced_calls=0
    )

    assert dict(recorded(node).iter_rows()) == {
        "name": "chat gpt-4o",
        "attributes.gen_ai.input.messages": "(10 characters of content, to be read with SQL)",
        "attributes.gen_ai.output.messages": "(9 characters of content, to be read with SQL)",
        "attributes.plan": '"gold"',
    }
