"""Looking a call up before it is sent, and keeping its answer after it: what both colours of the SDKs share.

A fault in here is a miss: the call is made as if there were no cache.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from spanledger import faults, names
from spanledger.guard.decisions import Decision, add_decision, moment
from spanledger.record import Attributes
from spanledger.sdk import Endpoint

from .answers import Answers, Bound
from .entry import Entry
from .key import Asked, make_key, namespace_key, read_asked, why_not
from .recording import Recording
from .replay import replay
from .rule import CacheRule
from .seek import Seek

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


class Search:
    """One call that may be answered from the cache."""

    __slots__ = ("_asked", "_endpoint", "_model", "_options", "_recording", "_scope", "_seek", "rule", "served")

    def __init__(self, rule: CacheRule, scope: str, seek: Seek, asked: Asked, endpoint: Endpoint, options: Any) -> None:
        self.rule = rule
        self._scope = scope
        self._seek = seek
        self._asked = asked
        self._endpoint = endpoint
        self._options = options
        self._model = _model(options)
        self._recording: Recording | None = None
        self.served: Entry | None = None
        """The answer that was given, or in shadow would have been."""

    def serve(self, call: Call, client: Any, cast_to: Any, options: Any, stream_cls: Any) -> Any:
        """Return what the application gets from the cache; None where the call has to be made."""
        try:
            return self._give(call, client, cast_to, options, self._seek.find(), stream_cls)
        except Exception as error:
            self._take_back(call, error)
            return None
        except BaseException as error:
            call.fail(error)
            raise

    async def serve_async(self, call: Call, client: Any, cast_to: Any, options: Any, stream_cls: Any) -> Any:
        """Return what the application gets from the cache, without holding up the event loop; None as in `serve`."""
        try:
            result = self._give(call, client, cast_to, options, await self._seek.find_async(), stream_cls)
            return result if result is None else await result
        except Exception as error:
            self._take_back(call, error)
            return None
        except BaseException as error:
            call.fail(error)
            raise

    def _give(self, call: Call, client: Any, cast_to: Any, options: Any, entry: Entry | None, stream_cls: Any) -> Any:
        if entry is None:
            return None
        self.served = entry
        if self.rule.shadow:
            return None
        asked = self._asked
        result = replay(client, cast_to, options, asked.body, entry, stream=asked.stream, stream_cls=stream_cls)
        call.admission = None  # it draws on no account
        return result

    def _take_back(self, call: Call, error: Exception) -> None:
        """Have the call made after all: the SDK can't read what was kept."""
        self.served = None
        call.forget_answer()
        faults.report("a kept answer can't be given, the call is made", error)

    @property
    def is_hit(self) -> bool:
        """Whether the application got its answer from the cache."""
        return self.served is not None and not self.rule.shadow

    def describe(self, attributes: Attributes) -> None:
        """Say on the call's span what the cache did."""
        if self.served is None:
            return
        if self.is_hit:
            attributes.update(_FOR_NOTHING)
            attributes[names.GUARD_POLICY] = self.rule.name
        else:
            sentence = f"{self.rule.name} has an answer of {moment(self.served.made_ms):%Y-%m-%d %H:%M:%S} UTC"
            add_decision(attributes, Decision(self.rule.name, "cache", self._scope, "allow", sentence, shadow=True))

    def take(self, response: Any) -> None:
        """Note the response whose body is to be kept."""
        if self.served is None:
            self._recording = Recording(response, time.time_ns() // 1_000_000)

    def end(self, facts: Facts, *, failed: bool, finishing: bool = False) -> None:
        """Keep the answer if it is a good one; let go of those who wait for it.

        `finishing`: called by a finaliser, which must not touch the store.
        """
        entry = None
        try:
            if not failed and not finishing and self._recording is not None and self._may_be_kept(facts):
                entry = self._recording.entry(stream=self._asked.stream)
        except Exception as error:
            faults.report("an answer is not kept", error)
        self._seek.end(entry)

    def _may_be_kept(self, facts: Facts) -> bool:
        if self._model != _model(self._options):
            return False  # the key says another one than was sent
        if facts.error_type is not None or (self._asked.stream and not facts.complete):
            return False
        if self._endpoint.operation == "embeddings":
            return facts.complete
        return bool(facts.finish_reasons) and GOOD_ENDS.issuperset(facts.finish_reasons)


def _model(options: Any) -> object:
    body = options.json_data
    return body.get("model") if isinstance(body, Mapping) else None


class ResponseCache:
    """The rules of one policy, and where their answers are kept."""

    def __init__(self, rules: Sequence[CacheRule], answers: Answers, secret: bytes) -> None:
        self.rules = rules
        self.answers = answers
        self._secret = secret

    def search(
        self, values: Mapping[str, str], endpoint: Endpoint, client: Any, options: Any, *, stream: bool
    ) -> Search | None:
        """Return the search of a call by the first rule that is about it; None where none is, or it may not be kept.

        `values`: tags, model, provider and so on, by wire name.
        """
        found = next(((rule, scope) for rule in self.rules if (scope := rule.match.scope(values)) is not None), None)
        # What the application puts into the SDK's way sees each answer come, and may change it.
        if found is None or getattr(client, "_middleware", None):
            return None
        rule, scope = found
        try:
            asked = read_asked(client, options, values.get(names.PROVIDER, ""), stream=stream)
            if why_not(rule, endpoint, asked.body) is not None:
                return None
            key = make_key(namespace_key(self._secret, rule.name, rule.namespace_of(values)), asked)
        except (ValueError, TypeError) as error:
            faults.report("a call is not looked up in the cache", error, expected=True)
            return None
        bound = Bound(rule.name, rule.max_bytes, rule.entries)
        waits_s = None if rule.shadow else rule.max_wait_ms / 1000
        seek = Seek(self.answers, key, bound, ttl_ms=rule.ttl_ms, max_age_ms=rule.max_age_ms, waits_s=waits_s)
        return Search(rule, scope, seek, asked, endpoint, options)
