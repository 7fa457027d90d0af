"""Tags in the context, without any call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import _spanledger_boot as switch
import spanledger
from spanledger import faults, tagging


class Wordless:
    """A value that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "on", True)


@pytest.mark.usefixtures("on")
def test_known_tags_have_their_own_names_and_the_rest_a_prefix() -> None:
    with spanledger.tags(
        user_id="u", team_id="t", customer_id="c", feature="f", session_id="s", request_type="r", ticket=42
    ):
        assert tagging.current.get() == {
            "user.id": "u",
            "team.id": "t",
            "customer.id": "c",
            "feature.id": "f",
            "session.id": "s",
            "request.type": "r",
            "spanledger.tag.ticket": "42",
        }
    assert tagging.current.get() == {}


@pytest.mark.usefixtures("on")
def test_inner_tags_add_to_outer_ones_and_win() -> None:
    with spanledger.tags(user_id="outer", feature="f"):
        with spanledger.tags(user_id="inner", team_id=None):
            assert tagging.current.get() == {"user.id": "inner", "feature.id": "f"}
        assert tagging.current.get() == {"user.id": "outer", "feature.id": "f"}


@pytest.mark.usefixtures("on")
def test_values_are_bounded_text() -> None:
    with spanledger.tags(user_id="x" * 1000, number=3.5, broken="caf\udce9 é"):
        assert tagging.current.get() == {
            "user.id": "x" * 256,
            "spanledger.tag.number": "3.5",
            "spanledger.tag.broken": "caf? é",
        }


@pytest.mark.usefixtures("on")
def test_a_value_without_text_is_left_out_and_counted() -> None:
    before = sum(faults.counts().values())
    with spanledger.tags(user_id="u", broken=Wordless()):
        assert tagging.current.get() == {"user.id": "u"}
    assert sum(faults.counts().values()) == before + 1


@pytest.fixture
def no_keys_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "_wire_names", dict(tagging.KNOWN))


def _new_faults(before: dict[str, int]) -> dict[str, int]:
    return {
        where: count - before.get(where, 0) for where, count in faults.counts().items() if count != before.get(where)
    }


@pytest.mark.usefixtures("on", "no_keys_yet")
def test_a_call_has_at_most_32_tags_of_its_own_and_the_outer_ones_stay() -> None:
    before = faults.counts()
    outer = spanledger.tags(user_id="u", **{f"outer{number}": number for number in range(30)})
    inner = spanledger.tags(feature="f", outer0="again", **{f"inner{number}": number for number in range(5)})
    with outer, inner:
        assert dict(tagging.current.get()) == {
            "user.id": "u",
            "feature.id": "f",
            **{f"spanledger.tag.outer{number}": str(number) for number in range(30)},
            "spanledger.tag.outer0": "again",
            "spanledger.tag.inner0": "0",
            "spanledger.tag.inner1": "1",
        }
    assert _new_faults(before) == {"tag left out: more than 32 of a call": 3}


@pytest.mark.usefixtures("on", "no_keys_yet")
@pytest.mark.parametrize("key", ["", "x" * 65, "two words", "clé", "a=b", "a,b"])
def test_a_key_that_is_none_is_left_out_and_counted(key: str) -> None:
    before = faults.counts()
    with spanledger.tags(user_id="u", **{key: "value"}):
        assert tagging.current.get() == {"user.id": "u"}
    assert list(_new_faults(before).values()) == [1]


@pytest.mark.usefixtures("on", "no_keys_yet")
def test_a_process_has_at_most_256_keys_of_its_own() -> None:
    """An id of a user as a key, a thousand times."""
    before = faults.counts()
    for number in range(1000):
        with spanledger.tags(user_id="u", **{f"user-{number}": "yes"}):
            pass
    with spanledger.tags(team_id="t", **{"user-7": "known", "user-999": "unknown"}):
        assert tagging.current.get() == {"team.id": "t", "spanledger.tag.user-7": "known"}
    assert _new_faults(before) == {"tag left out: more than 256 different keys in this process": 745}


@pytest.mark.usefixtures("on")
def test_a_decorated_function_keeps_its_name_and_its_answer() -> None:
    @spanledger.tags(user_id="u")
    def who(greeting: str) -> str:
        """Say who."""
        return f"{greeting} {tagging.current.get()['user.id']}"

    assert (who("hello"), who.__name__, who.__doc__) == ("hello u", "who", "Say who.")


@pytest.mark.usefixtures("on")
def test_a_decorated_generator_answers_what_is_sent_and_thrown() -> None:
    @spanledger.tags(user_id="u")
    def echo() -> Iterator[object]:
        heard: object = None
        while True:
            try:
                heard = yield heard
            except KeyError as error:
                heard = repr(error)
            if heard == "stop":
                return "done"  # type: ignore[return-value]

    generator = echo()
    assert next(generator) is None
    assert generator.send("hello") == "hello"  # type: ignore[attr-defined]
    assert generator.throw(KeyError("k")) == "KeyError('k')"  # type: ignore[attr-defined]
    with pytest.raises(StopIteration) as stopped:
        generator.send("stop")  # type: ignore[attr-defined]
    assert stopped.value.value == "done"


def test_tags_do_nothing_while_switched_off() -> None:
    with spanledger.tags(user_id="u"):
        assert tagging.current.get() == {}


def test_a_span_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected agent, tool or step"):
        spanledger.span("x", kind="agnet")  # type: ignore[arg-type]


def test_the_public_names_are_these() -> None:
    assert spanledger.__all__ == [
        "BreakerOpen",
        "BudgetExceeded",
        "LimitExceeded",
        "cached_step",
        "charge",
        "configure",
        "defer",
        "flush",
        "outcome",
        "span",
        "tags",
    ]
    assert all(callable(getattr(spanledger, name)) for name in spanledger.__all__)
    with pytest.raises(AttributeError):
        spanledger.nothing  # noqa: B018
