"""Tokens of calls that nobody counted: streams that ended early, and servers that report nothing.

Runs on the ledger's thread; the application's thread only keeps references to the text. An estimate is told as one:
`usage_state` is `estimated`, and what the provider did report is never lowered by it. Hidden reasoning, pictures and
sound are not heard, so where there were any it is a lower bound.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Final, Literal

from . import faults
from .evidence import MOST_MODELS, Evidence
from .texts import Texts, all_texts
from .tokenizer import count_tokens
from .usage import Usage

Method = Literal["tokenizer", "bytes_per_token", "reported_partial", "request"]
"""Counted by the model's own tokenizer; from the bytes; as the provider had told so far; as the request says."""

BYTES_PER_TOKEN: Final = 4
"""Until a model's own calls have taught better; English prose has about that in every vocabulary."""
_TOKENS_PER_MESSAGE: Final = 4
_TOKENS_PER_ANSWER: Final = 3
"""What OpenAI's chat format puts around each message, and before the answer."""
_FORGET_ABOVE: Final = 1 << 20
_PLAUSIBLE: Final = (1, 16)
"""Bytes of a token; whatever gave another ratio was not the text that we saw."""


class _Ratio:
    """Bytes and tokens of the calls that were counted."""

    def __init__(self) -> None:
        self._bytes = 0
        self._tokens = 0

    def learn(self, size: int, tokens: int) -> None:
        least, most = _PLAUSIBLE
        if not tokens or not least * tokens <= size <= most * tokens:
            return
        self._bytes += size
        self._tokens += tokens
        if self._tokens > _FORGET_ABOVE:
            self._bytes, self._tokens = self._bytes // 2, self._tokens // 2

    def tokens_of(self, size: int) -> int:
        """Return the tokens of that many bytes, rounded up."""
        if not self._tokens:
            return -(-size // BYTES_PER_TOKEN)
        return -(-size * self._tokens // self._bytes)


class Estimates:
    """What the ledger's thread has learned, and what it estimates from that."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str], tuple[_Ratio, _Ratio]] = {}

    def learn(self, provider: str, model: str, usage: Usage, evidence: Evidence) -> None:
        """Learn the bytes per token from a call that was counted; of its output, if all of that was heard."""
        asked, said = self._of(provider, model)
        if evidence.asked.whole and not evidence.asked.token_ids and not usage.units:
            asked.learn(evidence.asked.size, usage.input_tokens)
        if usage.output_text_tokens == usage.output_tokens:
            said.learn(Texts(_texts(evidence.heard)).size, usage.output_tokens)

    def complete(
        self, provider: str, model: str, response_model: str, known: Usage, evidence: Evidence
    ) -> tuple[Usage, Method] | None:
        """Return the usage with what the provider left out, and how that was found; None where nothing is known."""
        asked = Texts() if known.input_tokens else evidence.asked
        heard = "".join(_texts(evidence.heard))
        if not known.input_tokens and not asked.texts and not asked.token_ids and not heard:
            return None
        into, out, method = self._count(provider, model, response_model, asked, heard)
        into += asked.token_ids
        more = max(0, out - known.output_tokens)
        usage = known._replace(
            input_uncached_tokens=known.input_uncached_tokens + into,
            output_text_tokens=known.output_text_tokens + more,
            state="estimated",
        )
        return usage, method if into or more else "reported_partial"

    def _count(
        self, provider: str, model: str, response_model: str, asked: Texts, heard: str
    ) -> tuple[int, int, Method]:
        for name in (response_model, model):
            into, out = count_tokens(name, asked.texts), count_tokens(name, (heard,))
            if into is not None and out is not None:
                framing = _TOKENS_PER_MESSAGE * asked.messages + _TOKENS_PER_ANSWER if asked.messages else 0
                return into + framing, out, "tokenizer"
        of_asked, of_heard = self._of(provider, model)
        return of_asked.tokens_of(asked.size), of_heard.tokens_of(Texts((heard,)).size), "bytes_per_token"

    def _of(self, provider: str, model: str) -> tuple[_Ratio, _Ratio]:
        found = self._ratios.get((provider, model))
        if found is None:
            found = _Ratio(), _Ratio()
            if len(self._ratios) < MOST_MODELS:
                self._ratios[provider, model] = found
        return found


def _texts(heard: Iterable[str | bytes]) -> tuple[str, ...]:
    """Return what was heard as text, in order; what cannot be read is left out."""
    texts: list[str] = []
    for piece in heard:
        if isinstance(piece, str):
            texts.append(piece)
        else:
            texts.extend(_message_texts(piece))
    return tuple(texts)


def _message_texts(payload: bytes) -> tuple[str, ...]:
    """Read a message of one of Bedrock's event streams."""
    try:
        part = json.loads(payload)
        if isinstance(part, dict) and isinstance(part.get("bytes"), str):
            part = json.loads(base64.b64decode(part["bytes"]))
    except ValueError as error:
        faults.report("estimate made without a part of the stream", error)
        return ()
    return all_texts(part)
