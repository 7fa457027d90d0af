"""Who serves, and charges for, calls of an SDK whose `base_url` points elsewhere.

Names are OpenTelemetry's where it has one, else the price book's. A host that is not here keeps the SDK's own provider,
because a gateway in front of it is more common than a stranger that speaks its protocol; SPANLEDGER_PROVIDERS says
otherwise.
"""

from __future__ import annotations

from typing import Final

COMPATIBLE_HOSTS: Final = {
    ".openai.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.openai",
    ".cognitiveservices.azure.com": "azure.ai.openai",
    ".models.ai.azure.com": "azure.ai.inference",
    ".amazonaws.com": "aws.bedrock",
    ".api.aws": "aws.bedrock",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "generativelanguage.googleapis.com": "gcp.gen_ai",
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.deepinfra.com": "deepinfra",
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks_ai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.novita.ai": "novita",
    "api.perplexity.ai": "perplexity",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.x.ai": "x_ai",
    "api.z.ai": "zai",
    "inference.baseten.co": "baseten",
    "integrate.api.nvidia.com": "nvidia",
    "openrouter.ai": "openrouter",
    "ollama.com": "ollama",
    "127.0.0.1:11434": "ollama",
    "localhost:11434": "ollama",
    "localhost:1234": "lm_studio",
    "127.0.0.1:1234": "lm_studio",
}
"""End of a host's name, or host:port, to the provider there."""
CLAUDE_HOSTS: Final = {
    ".amazonaws.com": "aws.bedrock",
    ".api.aws": "aws.bedrock",
    ".services.ai.azure.com": "azure.ai.inference",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
}
"""The same for servers that speak Anthropic's protocol."""
OPENAI_CLIENTS: Final = {
    "AzureOpenAI": "azure.ai.openai",
    "AsyncAzureOpenAI": "azure.ai.openai",
    "BedrockOpenAI": "aws.bedrock",
    "AsyncBedrockOpenAI": "aws.bedrock",
}
ANTHROPIC_CLIENTS: Final = {
    "AnthropicAWS": "anthropic",
    "AsyncAnthropicAWS": "anthropic",
    "AnthropicBedrock": "aws.bedrock",
    "AsyncAnthropicBedrock": "aws.bedrock",
    "AnthropicBedrockMantle": "aws.bedrock",
    "AsyncAnthropicBedrockMantle": "aws.bedrock",
    "AnthropicFoundry": "azure.ai.inference",
    "AsyncAnthropicFoundry": "azure.ai.inference",
    "AnthropicVertex": "gcp.vertex_ai",
    "AsyncAnthropicVertex": "gcp.vertex_ai",
}
"""Class of clients to the provider that it was made for; AWS passes Anthropic's own prices on."""
