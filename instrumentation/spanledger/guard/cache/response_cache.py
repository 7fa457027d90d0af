"""The response cache of a policy: which rule is about a call, and the key that its answer is looked for under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanledger import faults, names
from spanledger.sdk import Endpoint

from .answers import Answers, Bound
from .key import Asked, make_key, namespace_key, read_asked, why_not
from .lookup import Search
from .rule import CacheRule
from .seek import Seek
from .semantic import MOST_CHARACTERS, Prompts, Question, split_question


class ResponseCache:
    """The rules of one policy, and where their answers are kept."""

    def __init__(self, rules: Sequence[CacheRule], answers: Answers, secret: bytes) -> None:
        self.rules = rules
        self.answers = answers
        self._secret = secret
        self._prompts = {rule.name: Prompts(rule.semantic) for rule in rules if rule.semantic is not None}

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
            secret = namespace_key(self._secret, rule.name, rule.namespace_of(values))
            key = make_key(secret, asked)
            question = self._question(rule, secret, asked, key)
        except (ValueError, TypeError) as error:
            faults.report("a call is not looked up in the cache", error, expected=True)
            return None
        bound = Bound(rule.name, rule.max_bytes, rule.entries)
        waits_s = None if rule.shadow else rule.max_wait_ms / 1000
        seek = Seek(self.answers, key, bound, ttl_ms=rule.ttl_ms, max_age_ms=rule.max_age_ms, waits_s=waits_s)

        def anew(model: str) -> Search | None:
            return self.search({**values, names.REQUEST_MODEL: model}, endpoint, client, options, stream=stream)

        return Search(rule, scope, seek, asked, endpoint, options, question, anew)

    def _question(self, rule: CacheRule, secret: bytes, asked: Asked, key: bytes) -> Question | None:
        prompts = self._prompts.get(rule.name)
        split = split_question(asked.body) if prompts is not None else None
        if prompts is None or split is None or len(split[1]) > MOST_CHARACTERS:
            return None
        rest, text = split
        return Question(prompts, make_key(secret, asked._replace(body=rest)), text, key)
