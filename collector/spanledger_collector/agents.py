"""Coding agents as data: which of their log events are calls or tools, and what each attribute means.

The money of a coding agent is in its log events, because spans are off in most of them and metrics can't be told
apart by request. Facts: bodies that Claude Code 2.1.332, Codex CLI 0.171.0 and Gemini CLI 0.61.0 sent, and their
sources. A new agent, or a new name in one, is a row here; how events become spans stands in `agent_events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from spanledger import names

_ANY: Final = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of log event that becomes a row."""

    name: str
    operation: str = "chat"
    needs: str = ""
    """Attribute without which it is none: several events share a name."""
    failed: bool = False
    """It tells of a failure, whatever its attributes say."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """An attribute that settles a question, and what each of its values says."""

    key: str
    says: Mapping[str, str]
    """Value in lower case without underscores -> answer; that of an empty value is for all others."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A coding agent's vocabulary."""

    dialect: str
    """Also the beginning of its events' names, before the dot."""
    scope: str
    """Instrumentation scope of its log records; put in where it sends another."""
    events: tuple[Event, ...]
    provider: str
    """Who bills, where no evidence says otherwise."""
    counts: Mapping[str, tuple[str, ...]]
    """Canonical attribute -> those that add up to it."""
    providers: tuple[Evidence, ...] = ()
    billing: tuple[Evidence, ...] = ()
    """What settles whether a plan pays, the first that is there; `unknown` says that it can't be told."""
    dropped: frozenset[str] = frozenset()
    """Attributes whose names promise what they don't hold."""
    resource: Mapping[str, str] = field(default_factory=dict)
    """Resource attributes under names of its own -> the convention's."""


CLAUDE_CODE: Final = Agent(
    dialect="claude_code",
    scope="com.anthropic.claude_code.events",
    events=(
        Event("api_request"),
        Event("api_error", failed=True),
        Event("tool_result", "execute_tool"),
    ),
    provider="anthropic",
    counts={
        names.INPUT_TOKENS: ("input_tokens",),
        names.OUTPUT_TOKENS: ("output_tokens",),
        names.CACHE_READ_TOKENS: ("cache_read_tokens",),
        names.CACHE_WRITE_TOKENS: ("cache_creation_tokens",),
        names.CACHE_WRITE_5M_TOKENS: ("cache_creation_5m_tokens",),
        names.CACHE_WRITE_1H_TOKENS: ("cache_creation_1h_tokens",),
        names.ATTEMPTS: ("attempt",),
    },
    providers=(
        Evidence(
            "anthropic.provider",
            {"bedrock": "aws.bedrock", "vertex": "gcp.vertex_ai", "foundry": "azure.ai.inference", _ANY: "anthropic"},
        ),
    ),
    billing=(
        # An enterprise's seats may be paid by use, at the price of the API.
        Evidence("anthropic.seat_type", {"usagebased": "usage", _ANY: "plan"}),
        Evidence("anthropic.plan", {_ANY: "plan"}),
        Evidence("anthropic.provider", {_ANY: "usage"}),
        # Versions before these two: signed in, to a subscription or to the Console.
        Evidence("organization.id", {_ANY: "unknown"}),
        Evidence("user.account_uuid", {_ANY: "unknown"}),
    ),
)

CODEX: Final = Agent(
    dialect="codex",
    scope="codex_otel.log_only",
    events=(
        Event("sse_event", needs="input_token_count"),
        Event("sse_event", needs="error.message", failed=True),
        Event("api_request", needs="error.message", failed=True),
        Event("websocket_request", needs="error.message", failed=True),
        Event("tool_result", "execute_tool"),
    ),
    provider="openai",
    counts={
        names.INPUT_TOKENS: ("input_token_count",),
        names.OUTPUT_TOKENS: ("output_token_count",),
        names.CACHE_READ_TOKENS: ("cached_token_count",),
        names.CACHE_WRITE_TOKENS: ("cache_write_token_count",),
        names.REASONING_TOKENS: ("reasoning_token_count",),
    },
    billing=(
        Evidence("auth_mode", {"apikey": "usage", "chatgpt": "plan", "chatgptauthtokens": "plan", _ANY: "unknown"}),
    ),
    dropped=frozenset({"tool_token_count"}),  # it is the total
    resource={"env": "deployment.environment.name"},
)

GEMINI_CLI: Final = Agent(
    dialect="gemini_cli",
    scope="gemini-cli",
    events=(
        Event("api_response"),
        Event("api_error", failed=True),
        Event("tool_call", "execute_tool"),
    ),
    provider="gcp.gemini",
    counts={
        # Gemini's own counts: prompts of tools are no part of the input, nor thoughts of the output.
        names.INPUT_TOKENS: ("input_token_count", "tool_token_count"),
        names.OUTPUT_TOKENS: ("output_token_count", "thoughts_token_count"),
        names.CACHE_READ_TOKENS: ("cached_content_token_count",),
        names.REASONING_TOKENS: ("thoughts_token_count",),
    },
    providers=(Evidence("auth_type", {"vertex-ai": "gcp.vertex_ai", _ANY: "gcp.gemini"}),),
    billing=(
        Evidence(
            "auth_type",
            {
                "oauth-personal": "plan",
                "cloud-shell": "plan",
                "compute-default-credentials": "plan",
                "gemini-api-key": "usage",
                "vertex-ai": "usage",
                "gateway": "usage",
                _ANY: "unknown",
            },
        ),
    ),
)

AGENTS: Final = (CLAUDE_CODE, CODEX, GEMINI_CLI)

TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    names.REQUEST_MODEL: ("model", "model_name"),
    names.RESPONSE_ID: ("request_id",),
    names.SESSION_ID: ("session.id", "conversation.id"),
    names.TOOL_NAME: ("tool_name", "function_name"),
    names.AGENT_NAME: ("agent.name",),
    names.ERROR_TYPE: ("error.type", "error_type", "status_code", "http.response.status_code"),
    "anthropic.organization.id": ("organization.id",),
}
"""Canonical attribute -> what agents call it; the first that is there wins."""

USERS: Final = ("user.email", "user.account_uuid", "user.account_id", "user.id", "installation.id")
"""Who it was, best first: an account is a person, the last two are an installation. What the resource says
(`user.id`, `enduser.id`) was put there on purpose and goes first."""

MESSAGES: Final = ("error.message", "error")
"""Why it failed, in words."""

TAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "repository": ("vcs.repository.url.full", "vcs.repository.name", "repository"),
    "branch": ("vcs.ref.head.name",),
    "terminal": ("terminal.type",),
    "app_version": ("app.version",),
    "entrypoint": ("app.entrypoint", "originator"),
    "prompt": ("prompt.id", "prompt_id"),
    "query_source": ("query_source",),
    "effort": ("effort",),
    "skill": ("skill.name",),
    "plugin": ("plugin.name",),
}
"""Tag -> attributes of the event, or else of the resource."""

CONTENT: Final = frozenset(
    {
        "arguments",
        "body",
        "function_args",
        "output",
        "process.command_args",
        "process.command_line",
        "prompt",
        "prompt_text",
        "request_text",
        "response",
        "response_text",
        "tool_input",
        "tool_parameters",
    }
)
"""What people, models and tools said, on events or on their resource (a prompt may stand on the command line): some
agents send it unasked, and the ledger doesn't keep it."""
