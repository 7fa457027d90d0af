"""Which other instrumentations this process has: what the collector needs to know of two spans that nothing links.

Some of them make their span without a link to the application's, and without the provider's id of the answer. The
collector may take such a span for a call of ours only where its emitter was in our process: in another process of the
same service, with other instrumentation, a call of the same length at the same time is another call.
"""

from __future__ import annotations

import sys
from typing import Final

_OTEL: Final = "opentelemetry.instrumentation."
_KNOWN: Final = {
    "anthropic._tracing": "com.anthropic.sdk",
    **{
        name: name
        for name in ("langfuse", "litellm", "logfire", "openlit", "pydantic_ai", "openinference.instrumentation")
    },
    **{
        _OTEL + name: _OTEL + name
        for name in (
            "anthropic",
            "bedrock",
            "botocore",
            "cohere",
            "genai",
            "google_genai",
            "google_generativeai",
            "groq",
            "langchain",
            "llamaindex",
            "mistralai",
            "ollama",
            "openai",
            "openai_agents",
            "openai_v2",
            "together",
            "vertexai",
            "vertexai_v2",
        )
    },
}
"""Module to the beginning of its scopes' names."""


def instrumentations() -> str:
    """Return how the scopes of those that are loaded begin, separated by commas; nothing is imported."""
    return ",".join([scope for module, scope in _KNOWN.items() if module in sys.modules])
