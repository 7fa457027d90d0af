"""Dialects as data: who emits which vocabulary, how it counts, and what its operations are.

A dialect is recognised by the instrumentation scope. It decides whether input includes cached tokens, what a count
that isn't there means, and who keeps the money when several emitters saw one call. A new dialect is new table rows
here and in `vocabulary`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from spanledger import names

Basis = Literal["inclusive", "exclusive", "detect"]
"""Whether input counts cached tokens; `detect` is inclusive unless the cached ones don't fit in."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A vocabulary, recognised by the scope that emits it."""

    name: str
    scopes: tuple[str, ...]
    """Names of scopes; one that ends in a dot or an asterisk is a prefix."""
    rank: int
    """Who keeps the money when two saw one call: 0 ours, 1 the SDK itself, 2 gateways, 3 frameworks."""
    basis: Basis = "detect"
    exclusive_providers: frozenset[str] = frozenset()
    """Providers whose input it gives without cached tokens, whatever its basis."""
    omits_zero: bool = False
    """A part that isn't there is 0; elsewhere it is unknown."""
    first_token_ms: bool = False
    """It gives `gen_ai.server.time_to_first_token` in milliseconds."""
    streams: str = ""
    """Regular expression over the names of spans that are streams; empty where attributes say so."""


OTEL: Final = Dialect(
    "otel_genai",
    (
        "opentelemetry.instrumentation.genai.",
        "opentelemetry.instrumentation.google_genai",
        "opentelemetry.instrumentation.vertexai_v2",
        "opentelemetry.instrumentation.botocore.",
    ),
    rank=3,
    omits_zero=True,
)
"""Also what gen_ai.* attributes from a scope we don't know are read as."""

DIALECTS: Final[tuple[Dialect, ...]] = (
    Dialect("spanledger", (names.SCOPE,), rank=0, basis="inclusive", omits_zero=True),
    Dialect("anthropic", ("com.anthropic.sdk.*",), rank=1, omits_zero=True),
    # What coding agents' log events are read as; see `agents`.
    Dialect("claude_code", ("com.anthropic.claude_code.events",), rank=1, basis="exclusive"),
    Dialect("codex", ("codex_otel.log_only",), rank=1, basis="inclusive"),
    Dialect("gemini_cli", ("gemini-cli",), rank=1, basis="inclusive"),
    OTEL,
    Dialect("otel_openai_v2", ("opentelemetry.instrumentation.openai_v2",), rank=3),
    Dialect("openinference", ("openinference.instrumentation.",), rank=3, omits_zero=True),
    Dialect("openlit", ("openlit.", "openlit"), rank=3, exclusive_providers=frozenset({"anthropic"})),
    Dialect("logfire", ("logfire.", "logfire", "pydantic-ai"), rank=3, omits_zero=True, streams="^streaming response"),
    Dialect("litellm", ("litellm",), rank=2),
    Dialect("langfuse", ("langfuse-sdk", "langfuse."), rank=3),
    Dialect("langsmith", ("langsmith", "langsmith."), rank=3),
    Dialect("mlflow", ("mlflow.",), rank=3),
    Dialect("laminar", ("lmnr.", "lmnr"), rank=3),
    Dialect("vercel", ("ai", "gen_ai", "@ai-sdk/otel"), rank=3),
    Dialect("genkit", ("genkit-tracer", "genkit.", "genkit"), rank=3),
    Dialect("strands", ("strands.", "strands-agents"), rank=3, first_token_ms=True),
    Dialect("google_adk", ("gcp.vertex.agent", "google.adk.*"), rank=3, omits_zero=True),
    Dialect("semantic_kernel", ("semantic_kernel.", "Microsoft.SemanticKernel*", "agent_runtime *"), rank=3),
    Dialect(
        "agent_framework", ("agent_framework", "Microsoft.Agents.AI*", "Experimental.Microsoft.Agents.AI*"), rank=3
    ),
    Dialect("autogen", ("autogen-core", "autogen *"), rank=3),
    Dialect("crewai", ("crewai.", "crewai"), rank=3),
    Dialect(
        "openllmetry",
        (
            "opentelemetry.instrumentation.openai.v1",
            "opentelemetry.instrumentation.openai.v0",
            "opentelemetry.instrumentation.agno",
            "opentelemetry.instrumentation.alephalpha",
            "opentelemetry.instrumentation.anthropic",
            "opentelemetry.instrumentation.bedrock",
            "opentelemetry.instrumentation.cohere",
            "opentelemetry.instrumentation.crewai",
            "opentelemetry.instrumentation.google_generativeai",
            "opentelemetry.instrumentation.groq",
            "opentelemetry.instrumentation.haystack",
            "opentelemetry.instrumentation.langchain",
            "opentelemetry.instrumentation.llamaindex",
            "opentelemetry.instrumentation.mcp",
            "opentelemetry.instrumentation.mistralai",
            "opentelemetry.instrumentation.ollama",
            "opentelemetry.instrumentation.openai_agents",
            "opentelemetry.instrumentation.replicate",
            "opentelemetry.instrumentation.sagemaker",
            "opentelemetry.instrumentation.together",
            "opentelemetry.instrumentation.transformers",
            "opentelemetry.instrumentation.vertexai",
            "opentelemetry.instrumentation.voyageai",
            "opentelemetry.instrumentation.watsonx",
            "opentelemetry.instrumentation.writer",
            "traceloop.tracer",
        ),
        rank=3,
    ),
)
BY_NAME: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in DIALECTS}


@dataclass(frozen=True, slots=True)
class Era:
    """Versions of a scope that counted in another way than its dialect does today."""

    scope: str
    before: tuple[int, ...]
    """The first version after them."""
    exclusive: bool = False
    """Input was without cached tokens."""
    silent: bool = False
    """A part that isn't there is unknown, though the dialect omits zeros now."""


ERAS: Final = (
    Era("openinference.instrumentation.anthropic", (0, 1, 14), exclusive=True),
    # Of streams it told no cached tokens, but had them in the input.
    Era("openinference.instrumentation.anthropic", (1, 1, 1), silent=True),
    Era("openinference.instrumentation.bedrock", (0, 1, 18), exclusive=True),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """Spans of a dialect whose operation is told by something else than an operation's name."""

    dialect: str
    """Empty for all."""
    operation: str
    pattern: str
    """Regular expression over the text of `key`."""
    key: str = ""
    """Attribute that is looked at; empty for the span's name."""
    without: str = ""
    """Only where this column of `vocabulary.TEXTS` is NULL; empty for everywhere."""


RULES: Final[tuple[Rule, ...]] = (
    Rule("anthropic", "count_tokens", r"^anthropic\.(beta\.)?messages\.count_tokens"),
    Rule("anthropic", "batches", r"^anthropic\.(beta\.)?messages\.batches\."),
    Rule("openinference", "count_tokens", r"^messages\.count_tokens"),
    Rule("openinference", "batches", r"^Batch$"),
    Rule("openinference", "moderation", r"^ModerationCreateResponse$"),
    Rule("openinference", "image_generation", r"^ImagesResponse"),
    Rule("openinference", "speech", r"^HttpxBinaryResponseContent"),
    Rule("openinference", "fetch_response", r"^\{\}$", key="input.value"),
    Rule("openllmetry", "fetch_response", r"^openai\.response$", without="request_model"),
    Rule("openlit", "fetch_response", r"^responses\.retrieve"),
    Rule("logfire", "fetch_response", r"^/responses/resp_", key="url"),
    Rule("logfire", "count_tokens", r"/count_tokens$", key="url"),
    Rule("logfire", "batches", r"/batches$", key="url"),
    Rule("logfire", "speech", r"^/audio/speech", key="url"),
    # LangSmith names an operation for runs that are none.
    Rule("langsmith", "retrieval", r"^retriever$", key="langsmith.span.kind"),
    Rule("langsmith", "prompt", r"^prompt$", key="langsmith.span.kind"),
    # It carries what the whole agent used.
    Rule("", "agent_total", r"^agent_total$", key="langsmith.metadata.usage_scope"),
    # Around a span `generate_content` with the same usage, but where another instrumentation makes that.
    Rule("google_adk", "call_llm", r"^call_llm", without="operation"),
)
"""They win over the operation that the span names itself."""

ROLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "chat",
            "completion",
            "text_completion",
            "generate_content",
            "responses",
            "embeddings",
            "image",
            "image_generation",
            "audio",
            "speech",
            "transcription",
            "text_completions",
            "rerank",
            "decide",
        ),
        "inference",
    ),
    "execute_tool": "tool",
    **dict.fromkeys(("invoke_agent", "create_agent", "invoke_workflow", "agent_step", "agent_total", "plan"), "agent"),
}
"""Operation -> role; every other operation is `other`."""
FREE: Final = frozenset({"fetch_response", "count_tokens", "moderation", "batches"})
"""Operations that cost nothing themselves, whatever tokens their spans carry; any other operation that isn't known and
has tokens has the sum of what its children used."""
INPUT_ONLY: Final = frozenset({"embeddings"})
"""Operations that have no output tokens to report."""
PLAN_PROVIDERS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "github": (
        (r"^claude", "anthropic"),
        (r"^(gpt|o\d|chatgpt|codex)", "openai"),
        (r"^gemini", "gcp.gemini"),
        (r"^grok", "x_ai"),
    ),
}
"""Providers that are paid by subscription -> whose API a model is (pattern of its name), to say what it would cost."""
STATING_PROVIDERS: Final = frozenset({"openrouter", "x_ai"})
"""Providers that state in the answer what they charge, and bill just that."""

PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "azure openai": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "azure_ai_inference": "azure.ai.inference",
    "azure-ai-inference": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "aws_bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "amazon_bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "bedrock.anthropic": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "gcp.gen_ai": "gcp.gemini",
    "google-gla": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",
    "googleai": "gcp.gemini",
    "google_ai": "gcp.gemini",
    "google_ai_studio": "gcp.gemini",
    "gcp": "gcp.vertex_ai",
    "google-vertex": "gcp.vertex_ai",
    "google.vertex": "gcp.vertex_ai",
    "google_vertex": "gcp.vertex_ai",
    "vertex": "gcp.vertex_ai",
    "vertex.anthropic": "gcp.vertex_ai",
    "vertex_ai": "gcp.vertex_ai",
    "vertex_ai_beta": "gcp.vertex_ai",
    "vertex-ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google_vertexai": "gcp.vertex_ai",
    "grok": "x_ai",
    "xai": "x_ai",
    "x-ai": "x_ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "mistral-ai": "mistral_ai",
    "ibm": "ibm.watsonx.ai",
    "watsonx": "ibm.watsonx.ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "together": "together_ai",
    "togetherai": "together_ai",
    "fireworks": "fireworks_ai",
    "fireworksai": "fireworks_ai",
}
"""Other spellings -> the name that OpenTelemetry gives the provider; names are compared in lower case."""


PROVIDER_ENDINGS: Final = (
    *(".chat", ".responses", ".messages", ".completion", ".embedding", ".text-embedding"),
    *(".image", ".speech", ".transcription"),
)
"""What the AI SDK of Vercel puts behind a provider's name: the kind of model."""
NO_PROVIDERS: Final = frozenset(
    {
        *("strands-agents", "gcp.vertex.agent", "langchain", "langgraph", "llamaindex", "llama_index", "crewai"),
        *("autogen", "semantic_kernel", "agent_framework", "microsoft.agent_framework", "pydantic_ai", "pydantic-ai"),
        *("haystack", "agno", "smolagents", "unknown", "_other"),
    }
)
"""Frameworks that name themselves where the provider belongs: who bills isn't known then."""
SELLERS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"^(arn:aws[a-z-]*:bedrock:|((us|eu|apac|jp|au|ca|us-gov|global)\.)?(amazon|anthropic|meta|mistral)\.)",
        "aws.bedrock",
    ),
    (r"^projects/[^/]+/locations/|^publishers/", "gcp.vertex_ai"),
)
"""Pattern of a model's name -> the only provider that sells by such names, where the span names none."""


def is_before(version: str, bound: tuple[int, ...]) -> bool:
    """Say whether a version is an earlier one; what is no version isn't."""
    found = re.match(r"v?(\d{1,9}(?:\.\d{1,9})*)", version)
    return found is not None and tuple(int(number) for number in found[1].split(".")) < bound


def dialect_of(scope: str | None) -> Dialect | None:
    """Return the dialect that a scope is known to speak."""
    if not scope:
        return None
    for dialect in DIALECTS:
        for known in dialect.scopes:
            if scope == known or (known[-1] in ".*" and scope.startswith(known.rstrip("*"))):
                return dialect
    return None
