"""What models are known to take, and whether one can stand in for another that a request was written for.

Known means stated by the provider: the context windows are those of the price book's source (a test compares them),
the rest is from the pages below, read in November 2026. What a page does not say is not in here, so a request that uses
it is left alone; whoever knows better says so in the policy (`supports`).

- https://developers.openai.com/api/docs/models, and its guides to reasoning and structured outputs
- https://platform.claude.com/docs/models/overview, the guides to migration, thinking, effort and structured outputs
- https://ai.google.dev/gemini-api/docs/models and the page of each model there, /latest-model and
  /generate-content/whats-new-gemini-3.6 (which models sample in their own way)
- https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking, and the page of each model there: what
  thinking can be set to, parameters and their defaults, and the smaller limit where Google's two places differ; and
  models/thinking/thought-signatures there
- https://docs.aws.amazon.com/bedrock/latest/userguide: its pages conversation-inference-supported-models-features,
  structured-output, prompt-caching and claude-messages-adaptive-thinking
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from spanledger.instead import spelt

from .wants import Wants

_SNAPSHOT: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class Model(NamedTuple):
    """What a model is known to take."""

    context: int
    """Tokens of input and output together."""
    max_output: int
    features: frozenset[str]
    """As `Wants` names them."""
    not_in_chat: frozenset[str] = frozenset()
    """What of it chat completions don't take."""


_NEUTRAL: Final = frozenset({"temperature=1", "top_p=1", "n=1", "presence_penalty=0", "frequency_penalty=0"})
_SAMPLED: Final = _NEUTRAL | {
    *("temperature", "top_p", "temperature and top_p", "n", "presence_penalty", "frequency_penalty", "stop", "seed"),
    *("logprobs", "top_logprobs", "logit_bias", "max_tokens"),
}
_TOOLS: Final = frozenset({"tools", "parallel_tool_calls"})
_TURBO: Final = _SAMPLED | _TOOLS | {"json_object"}
_OMNI: Final = _TURBO | {"json_schema", "images", "files", "prediction"}
_REASONING: Final = _NEUTRAL | {"tools", "json_schema", "json_object", "effort low", "effort medium", "effort high"}
_SEES: Final = frozenset({"images", "files"})
_GPT_5: Final = _REASONING | _SEES | {"parallel_tool_calls", "verbosity", "reasoning summary"}
_GPT_5_2: Final = _GPT_5 | {"effort none", "effort xhigh"}
_GPT_5_6: Final = _GPT_5_2 | {"effort max"}

_CLAUDE: Final = frozenset({"max_tokens", "stop_sequences", "tools", "cache_control", "images", "files"})
_CLAUDE_4: Final = _CLAUDE | {
    *("temperature", "temperature=1", "top_p", "top_p=1", "top_k", "prefill", "thinking enabled", "thinking disabled"),
}
_CLAUDE_4_5: Final = _CLAUDE_4 | {"json_schema"}
_EFFORTS: Final = frozenset({"effort low", "effort medium", "effort high"})
_CLAUDE_4_6: Final = (_CLAUDE_4_5 - {"prefill"}) | _EFFORTS | {"thinking adaptive", "effort max"}
_CLAUDE_4_7: Final = (
    _CLAUDE
    | _EFFORTS
    | {
        *("json_schema", "thinking adaptive", "thinking disabled", "effort xhigh", "effort max"),
    }
)
_CLAUDE_5: Final = _CLAUDE | _EFFORTS | {"thinking adaptive"}

_GEMINI: Final = frozenset(
    {
        *("temperature=1", "seed", "stop_sequences", "tools", "json_schema", "json_object", "thinking summary"),
        *("images", "audio", "video", "files"),
    }
)
_GEMINI_SAMPLED: Final = _GEMINI | {"temperature", "top_p", "top_p=1", "temperature and top_p", "n=1"}
_GEMINI_2_5: Final = _GEMINI_SAMPLED | {"n", "thinking budget", "thinking dynamic"}
_SIGNED: Final = "signed function calls"
"""Gemini 3 refuses a function call that is sent along without its signature, which older models don't give."""
_LEVELS: Final = frozenset({"thinking low", "thinking medium", "thinking high", _SIGNED})
_ALL_LEVELS: Final = _LEVELS | {"thinking minimal"}

_MILLION: Final = 1_000_000
_MEBI: Final = 1_048_576
MODELS: Final[Mapping[str, Mapping[str, Model]]] = {
    "openai": {
        "gpt-3.5-turbo": Model(16_385, 4_096, _TURBO),
        "gpt-4-turbo": Model(128_000, 4_096, _TURBO | {"images"}),
        "gpt-4o-2024-05-13": Model(128_000, 4_096, _TURBO | {"images"}),
        "gpt-4o": Model(128_000, 16_384, _OMNI),
        "gpt-4o-mini": Model(128_000, 16_384, _OMNI),
        "gpt-4.1": Model(_MILLION, 32_768, _OMNI),
        "gpt-4.1-mini": Model(_MILLION, 32_768, _OMNI),
        "gpt-4.1-nano": Model(_MILLION, 32_768, _OMNI),
        "o1": Model(200_000, 100_000, _REASONING | _SEES),
        "o3": Model(200_000, 100_000, _REASONING | _SEES | {"reasoning summary"}),
        "o3-mini": Model(200_000, 100_000, _REASONING),
        "o4-mini": Model(200_000, 100_000, _REASONING | _SEES | {"reasoning summary"}),
        "gpt-5": Model(400_000, 128_000, _GPT_5 | {"effort minimal"}),
        "gpt-5-mini": Model(400_000, 128_000, _GPT_5 | {"effort minimal"}),
        "gpt-5-nano": Model(400_000, 128_000, _GPT_5 | {"effort minimal"}),
        "gpt-5.1": Model(400_000, 128_000, _GPT_5 | {"effort none"}),
        "gpt-5.2": Model(400_000, 128_000, _GPT_5_2),
        "gpt-5.4": Model(1_050_000, 128_000, _GPT_5_2),
        "gpt-5.4-mini": Model(400_000, 128_000, _GPT_5_2),
        "gpt-5.4-nano": Model(400_000, 128_000, _GPT_5_2),
        "gpt-5.6-sol": Model(1_050_000, 128_000, _GPT_5_6, _TOOLS),
        "gpt-5.6-terra": Model(1_050_000, 128_000, _GPT_5_6, _TOOLS),
        "gpt-5.6-luna": Model(1_050_000, 128_000, _GPT_5_6, _TOOLS),
        "gpt-6-luna": Model(1_050_000, 128_000, _GPT_5_6, _TOOLS),
    },
    "anthropic": {
        "claude-opus-4-1": Model(200_000, 32_000, _CLAUDE_4),
        "claude-sonnet-4-5": Model(200_000, 64_000, _CLAUDE_4_5),
        "claude-haiku-4-5": Model(200_000, 64_000, _CLAUDE_4_5),
        "claude-opus-4-5": Model(200_000, 64_000, _CLAUDE_4_5 | _EFFORTS),
        "claude-sonnet-4-6": Model(_MILLION, 64_000, _CLAUDE_4_6),
        "claude-opus-4-6": Model(_MILLION, 128_000, _CLAUDE_4_6),
        "claude-opus-4-7": Model(_MILLION, 128_000, _CLAUDE_4_7),
        "claude-opus-4-8": Model(_MILLION, 128_000, _CLAUDE_4_7),
        "claude-sonnet-5": Model(_MILLION, 128_000, _CLAUDE_5),
        "claude-opus-5": Model(_MILLION, 128_000, _CLAUDE_5),
        "claude-haiku-5-5": Model(_MILLION, 128_000, _CLAUDE_5 | {"effort xhigh", "effort max"}),
        "claude-sonnet-5-5": Model(_MILLION, 128_000, _CLAUDE_5),
        "claude-opus-5-5": Model(_MILLION, 128_000, _CLAUDE_5),
    },
    "gcp.gemini": {
        "gemini-2.5-pro": Model(_MEBI, 65_535, _GEMINI_2_5),
        "gemini-2.5-flash": Model(_MEBI, 65_535, _GEMINI_2_5 | {"thinking disabled"}),
        "gemini-2.5-flash-lite": Model(_MILLION, 65_535, _GEMINI_2_5 | {"thinking disabled"}),
        "gemini-3-flash-preview": Model(_MILLION, 65_535, _GEMINI_SAMPLED | _ALL_LEVELS),
        "gemini-3.1-flash-lite": Model(_MILLION, 65_535, _GEMINI_SAMPLED | _ALL_LEVELS),
        "gemini-3.5-flash": Model(_MILLION, 65_535, _GEMINI_SAMPLED | _ALL_LEVELS),
        "gemini-3.5-flash-lite": Model(_MILLION, 65_535, _GEMINI | _ALL_LEVELS),
        "gemini-3.6-flash": Model(_MILLION, 65_535, _GEMINI | _ALL_LEVELS),
        "gemini-3.7-flash": Model(_MILLION, 65_535, _GEMINI | _LEVELS),
        "gemini-3.8-flash": Model(_MILLION, 65_535, _GEMINI | _LEVELS),
    },
}
"""Provider to model, without the date of a snapshot."""
_MAKES: Final = ("image", "tts", "audio")
"""Parts of the names of Google's models that make something beside text."""
_SAME: Final = {"gcp.vertex_ai": "gcp.gemini"}
"""Provider to another one that has the same models."""
_BEDROCK: Final = "aws.bedrock"
_CLAUDE_ON_BEDROCK: Final = re.compile(
    r"(?:arn:\S+:(?:foundation-model|inference-profile)/)?(?:[a-z-]+\.)?anthropic\.(claude-[a-z0-9-]+?)(?:-v\d(?::0)?)?"
)
_ON_BEDROCK: Final[Mapping[str, frozenset[str]]] = {
    "claude-haiku-4-5": frozenset({"json_schema"}),
    "claude-sonnet-4-5": frozenset({"json_schema"}),
    "claude-opus-4-5": frozenset({"json_schema"}),
    "claude-sonnet-4-6": _EFFORTS | {"thinking adaptive"},
    "claude-opus-4-6": _EFFORTS | {"thinking adaptive", "json_schema", "effort max"},
    "claude-opus-4-7": _EFFORTS | {"thinking adaptive"},
    "claude-opus-5": frozenset({"thinking adaptive"}),
}
"""What Amazon's pages say of a model beside what all take."""
PROVIDERS: Final = (*MODELS, *_SAME, _BEDROCK)
"""Those of whose models something is known."""


def known(provider: str, model: str) -> Model | None:
    """Return what a provider's model is known to take; None where nothing is."""
    if provider == _BEDROCK:
        return _on_bedrock(model)
    models = MODELS.get(_SAME.get(provider, provider), {})
    return models.get(model) or models.get(_SNAPSHOT.sub("", model))


def _on_bedrock(model: str) -> Model | None:
    """Return what a Claude is known to take on Bedrock: what it takes anywhere, as far as Amazon says so, too."""
    found = _CLAUDE_ON_BEDROCK.fullmatch(model)
    name = _SNAPSHOT.sub("", found[1]) if found is not None else ""
    there = MODELS["anthropic"].get(name)
    if there is None:
        return None
    features = there.features & (
        _CLAUDE_4 if "thinking enabled" in there.features else _CLAUDE_4 - {"thinking disabled"}
    )
    return there._replace(features=features | _ON_BEDROCK.get(name, frozenset()))


def why_unlike(asked: str, to: str) -> str | None:
    """Say why a Gemini model makes other things than another does, without being asked to; None where it doesn't."""
    if not asked.startswith("gemini") or all((kind in asked) == (kind in to) for kind in _MAKES):
        return None
    return f"{asked} and {to} don't make the same: text, images or speech"


def sent_back_to(asked: str, wants: Wants) -> Wants:
    """Return what a request asks for, and what the model that it names asks of the answer, when it gets it back."""
    if not wants.tools or not asked.startswith("gemini-") or asked.startswith(("gemini-1", "gemini-2")):
        return wants
    return wants._replace(features={**wants.features, _SIGNED: "tools"})


def why_not(
    provider: str, to: str, wants: Wants, into: int, drop: Collection[str] = (), supports: Collection[str] = ()
) -> str | None:
    """Say why a model can't be asked for what a request asks for; None where it is known that it can.

    `into` is the input in tokens, `drop` the parameters that would be left out, `supports` what the policy says of the
    model.
    """
    model = known(provider, to)
    if model is None and not supports:
        return f"nothing is known of what {to} takes (say it: supports)"
    taken = set(supports)
    if model is not None:
        taken |= model.features - model.not_in_chat if wants.is_chat else model.features
    left_out = spelt(drop)
    refused = [name for name, source in wants.features.items() if source not in left_out and name not in taken]
    if refused:
        return f"{to} is not known to take {', '.join(sorted(refused))}"
    return None if model is None else _too_large(to, model, wants, into)


def _too_large(to: str, model: Model, wants: Wants, into: int) -> str | None:
    if wants.most is not None and wants.most > model.max_output:
        return f"{to} writes at most {model.max_output:,} tokens, and {wants.most:,} may be written"
    if into + (wants.most or 0) > model.context:
        return f"{to} takes at most {model.context:,} tokens, and this is {into + (wants.most or 0):,}"
    return None
