"""Looking a call up before it is sent, and keeping its answer after it: what both colours of the SDKs share.

A fault in here is a miss: the call is made as if there were no cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from spanledger import faults, names
from spanledger.admit import in_thread
from spanledger.guard.decisions import Decision, add_decision, moment
from spanledger.own_threads import OwnThreads
from spanledger.record import Attributes
from spanledger.sdk import Endpoint

from .entry import Entry
from .key import Asked
from .recording import Recording
from .replay import replay
from .rule import CacheRule
from .seek import Seek
from .semantic import Near, Question

if TYPE_CHECKING:
    from spanledger.attributes import Facts
    from spanledger.call import Call

GOOD_ENDS: Final = frozenset(
    {"stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "tool_use", "completed"}
)
"""Finish reasons of answers that are whole; any other, also one that nobody here has heard of, is not kept."""
_FOR_NOTHING: Final[Attributes] = {
    names.CACHE_HIT: True,
    names.BILLING_BASIS: "cached",
    names.COST_USD: 0.0,
    names.COST_PICO_USD: 0,
    names.GUARD_ACTION: "allow",
}
_embedders: Final = OwnThreads("spanledger-embed")
"""Apart from others: an embedder is the application's, and may itself make a call through the event loop."""


class Search:
    """One call that may be answered from the cache."""

    __slots__ = (
        "_anew",
        "_asked",
        "_endpoint",
        "_kept",
        "_model",
        "_options",
        "_passed",
        "_question",
        "_recording",
        "_said",
        "_scope",
        "_seek",
        "_unfinished",
        "is_hit",
        "made_ms",
        "rule",
    )

    def __init__(
        self,
        rule: CacheRule,
        scope: str,
        seek: Seek,
        asked: Asked,
        endpoint: Endpoint,
        options: Any,
        question: Question | None,
        anew: Callable[[str], Search | None],
    ) -> None:
        self._anew = anew
        """Make the search of the request as it is now, at a model."""
        self.rule = rule
        self._scope = scope
        self._seek = seek
        self._asked: Asked | None = asked
        self._endpoint = endpoint
        self._options = options
        self._model = _model(options)
        self._question = question
        """Its question among others like it; None where only equal calls are looked for."""
        self._recording: Recording | None = None
        self._passed = False
        """The policy's other rules have looked at the call already."""
        self._said: Attributes = {}
        """What the policy's other rules have done to the call before it was answered."""
        self._kept = False
        self._unfinished = ""
        """By what the answer ended, where that is why it isn't kept."""
        self.is_hit = False
        """The application got its answer from the cache."""
        self.made_ms: int | None = None
        """When the answer was made that was given or, in shadow, would have been."""

    def serve(self, call: Call, client: Any, cast_to: Any, options: Any, stream_cls: Any) -> Any:
        """Return what the application gets from the cache; None where the call has to be made."""
        try:
            entry = self._seek.find() or self._find_alike()
            result = self._made_of(entry, client, cast_to, options, stream_cls)
            if result is not None:
                self._note_hit(call)
            return result
        except Exception as error:
            self._take_back(call, error)
            return None
        except BaseException as error:
            call.fail(error)
            raise

    async def serve_async(self, call: Call, client: Any, cast_to: Any, options: Any, stream_cls: Any) -> Any:
        """Return what the application gets from the cache, without holding up the event loop; None as in `serve`."""
        try:
            entry = await self._seek.find_async()
            if entry is None and self._question is not None and self._question.serves:
                entry = await in_thread(self._find_alike, _embedders)
            made = self._made_of(entry, client, cast_to, options, stream_cls)
            if made is None:
                return None
            result = await made
            self._note_hit(call)
            return result
        except Exception as error:
            self._take_back(call, error)
            return None
        except BaseException as error:
            call.fail(error)
            raise

    def anew(self) -> Search | None:
        """Return the search of a request that now asks for another model than it did; None where it is the same."""
        model = _model(self._options)
        if model == self._model or not isinstance(model, str):
            return None
        self._seek.end(None)
        found = self._anew(model)
        if found is not None:
            found._passed = True
        return found

    def _find_alike(self) -> Entry | None:
        """Return the answer of a question that means nearly the same, where such answers are given."""
        question = self._question
        if question is None or not question.serves:
            return None
        try:
            near = question.look()
        except Exception as error:
            faults.report("a question is not compared with others", error)
            return None
        entry = self._seek.kept_under(near.key) if near is not None and near.refused is None else None
        if entry is not None:
            self._seek.land(entry)
        return entry

    def _made_of(self, entry: Entry | None, client: Any, cast_to: Any, options: Any, stream_cls: Any) -> Any:
        """Return what the SDK makes of an answer, of an asynchronous client to be awaited; None where none is given."""
        asked = self._asked
        if entry is None or asked is None:
            return None
        self.made_ms = entry.made_ms
        if self.rule.shadow:
            return None
        return replay(client, cast_to, options, asked.body, entry, stream=asked.stream, stream_cls=stream_cls)

    def _note_hit(self, call: Call) -> None:
        """Take the call from under the policy's other rules: its answer is there, so it draws on no account."""
        if (admission := call.admission) is not None:
            if self._passed:
                self._said = admission.attributes(None, None, 0)
            if admission.held:
                admission.end(None, None, billed=False)
            call.admission = None
        self.is_hit = True

    def _take_back(self, call: Call, error: Exception) -> None:
        """Have the call made after all: the SDK can't read what was kept."""
        self.made_ms = None
        call.forget_answer()
        faults.report("a kept answer can't be given, the call is made", error)

    def describe(self, attributes: Attributes) -> None:
        """Say on the call's span what the cache did; on the ledger's thread, where nobody waits."""
        rule, question = self.rule, self._question
        if self.is_hit:
            attributes.update(self._said)
            attributes.update(_FOR_NOTHING)
            attributes[names.GUARD_POLICY] = rule.name
        elif self.made_ms is not None:
            self._add(attributes, f"{rule.name} has an answer of {moment(self.made_ms):%Y-%m-%d %H:%M:%S} UTC")
        elif question is not None and not question.serves:
            self._compare(question)
        if self._unfinished:
            self._add(attributes, f"{rule.name} doesn't keep the answer: it ended by {self._unfinished}")
        if question is not None and question.near is not None:
            self._add(attributes, self._told(question.near))

    def _compare(self, question: Question) -> None:
        try:
            question.look()
        except Exception as error:
            faults.report("a question is not compared with others", error)
        if self._kept:
            self._learn(question)

    @staticmethod
    def _learn(question: Question) -> None:
        try:
            question.learn()
        except Exception as error:
            faults.report("a question is not compared with others", error)

    def _told(self, near: Near) -> str:
        alike = f"{self.rule.name} has the answer of a question that is {near.similarity:.3f} alike"
        if near.refused is not None:
            return f"{alike}; not to be given: {near.refused}"
        return f"{alike}; given" if self.is_hit else alike

    def _add(self, attributes: Attributes, sentence: str) -> None:
        shadow = not self.is_hit
        add_decision(attributes, Decision(self.rule.name, "cache", self._scope, "allow", sentence, shadow=shadow))

    def take(self, response: Any) -> None:
        """Note the response whose body is to be kept."""
        if self.made_ms is None:
            self._recording = Recording(response, time.time_ns() // 1_000_000)

    def end(self, facts: Facts, *, failed: bool, finishing: bool = False) -> None:
        """Keep the answer if it is a good one; let go of those who wait for it.

        `finishing`: called by a finaliser, which must not touch the store.
        """
        entry, recording, asked = None, self._recording, self._asked
        try:
            if not (failed or finishing or recording is None or asked is None) and self._may_be_kept(facts, asked):
                entry = recording.entry(stream=asked.stream)
        except Exception as error:
            faults.report("an answer is not kept", error)
        self._seek.end(entry)
        self._kept = entry is not None
        if self._kept and self._question is not None and self._question.serves:
            self._learn(self._question)
        # What may be large, and the application may change, stays with it.
        self._recording = self._asked = self._options = None

    def _may_be_kept(self, facts: Facts, asked: Asked) -> bool:
        if self._model != _model(self._options):
            return False  # the key says another one than was sent
        if facts.error_type is not None or (asked.stream and not facts.complete):
            return False
        if self._endpoint.operation == "embeddings":
            return facts.complete
        self._unfinished = ", ".join(sorted({*facts.finish_reasons} - GOOD_ENDS))
        return bool(facts.finish_reasons) and not self._unfinished


def _model(options: Any) -> object:
    body = options.json_data
    return body.get("model") if isinstance(body, Mapping) else None
