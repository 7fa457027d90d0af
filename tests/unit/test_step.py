"""One step of a trace as the dashboard lists it."""

from __future__ import annotations

import json

from spanledger_dashboard.components.step import attempts, recorded, table


def test_what_was_said_and_heard_is_not_shown_to_who_looks_at_costs() -> None:
    attributes = {"gen_ai.input.messages": '"a secret"', "gen_ai.output.messages": '"another"', "plan": '"gold"'}
    span = {"name": "chat gpt-4o", "tags": {"tenant": "acme"}, "attributes": attributes, "resource": {}, "events": "[]"}

    assert dict(recorded(span).iter_rows()) == {
        "name": "chat gpt-4o",
        "tags.tenant": "acme",
        "attributes.gen_ai.input.messages": "(10 characters of content, to be read with SQL)",
        "attributes.gen_ai.output.messages": "(9 characters of content, to be read with SQL)",
        "attributes.plan": '"gold"',
    }


def test_each_attempt_says_how_it_was_answered_and_whether_it_was_billed() -> None:
    def attempt(number: int, **said: object) -> dict[str, object]:
        told: dict[str, object] = {"spanledger.attempt.number": number, "spanledger.attempt.duration": 0.5 * number}
        told |= {f"spanledger.attempt.{name}": value for name, value in said.items() if name != "status"}
        return {"name": "spanledger.attempt", "attributes": told | {"http.response.status_code": said.get("status")}}

    events = [
        attempt(1, status=429, billed="no", retry_after="2"),
        {"name": "exception", "attributes": {}},
        attempt(2, status=500, billed="unknown"),
        attempt(3, billed="yes"),
    ]
    assert attempts({"events": json.dumps(events)}).rows() == [
        (1, "429", "500 ms", "no", "2"),
        (2, "500", "1.0 s", "perhaps", ""),
        (3, "ok", "1.5 s", "yes", ""),
    ]
    assert attempts({"events": None}).is_empty()


def test_what_a_stranger_says_of_an_attempt_stays_in_its_cell_and_numbers_that_are_none_are_counted() -> None:
    told = {"error.type": "x@|![](http://198.51.100.1/a)|\\\\|y", "spanledger.attempt.number": "first"}
    tries = attempts({"events": json.dumps([{"name": "spanledger.attempt", "attributes": told}])})
    assert tries.rows() == [(1, told["error.type"], "0 ms", "perhaps", "")]
    (line,) = table(tries).splitlines()[2:]
    cells = [cell.strip() for cell in line.split("|")]
    assert (cells[:2], cells[3:]) == (["", "1"], ["0 ms", "perhaps", "", ""])
    assert "`x@¦![](http://198.51.100.1/a)¦" in cells[2]
