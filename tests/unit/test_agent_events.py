"""Log events of coding agents become priced rows like spans do: who, where, tokens, cost, and who pays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_bodies import (
    AT_NS,
    CLAUDE_ACCOUNT,
    CLAUDE_REQUEST,
    CLAUDE_WHO,
    CODEX_COMPLETED,
    CODEX_WHO,
    GEMINI_RESPONSE,
    GEMINI_WHO,
    claude,
    codex,
    gemini,
    logs,
    pairs,
)
from spanledger_collector import signals
from spanledger_collector.logs import LogsRead, read_logs
from spanledger_collector.otlp_json import read_json
from spanledger_collector.signals import Produced, convert_records
from spanledger_collector.tables import SPANS
from spanledger_collector.wal import Record

AT = datetime.fromtimestamp(AT_NS // 10**9, UTC)


def produced(*requests: Any, billing: Mapping[str, str] | None = None) -> Produced:
    records = [
        Record(AT_NS, request.SerializeToString(), "logs" if "Logs" in type(request).__name__ else "traces")
        for request in requests
    ]
    return convert_records(records, billing or {})


def rows(*requests: Any, billing: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = produced(*requests, billing=billing).of(SPANS).to_pylist()
    return found


def row(request: Any, **how: Any) -> dict[str, Any]:
    [found] = rows(request, **how)
    return {
        name: dict(value) if name in ("tags", "attributes") else value
        for name, value in found.items()
        if value is not None and name not in ("trace_id", "span_id", "resource", "units", "ingested_at")
    }


def test_a_request_of_claude_code_is_a_priced_call() -> None:
    assert row(claude({**CLAUDE_REQUEST, **CLAUDE_ACCOUNT, "anthropic.seat_type": "usage_based"})) == {
        "name": "claude_code.api_request",
        "kind": "client",
        "start_time": AT.replace(second=17, microsecond=500_000),
        "duration_us": 2_500_000,
        "status": "unset",
        "service_name": "claude-code",
        "scope_name": "com.anthropic.claude_code.events",
        "scope_version": "1.2.3",
        "dialect": "claude_code",
        "response_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
        "role": "inference",
        "operation": "chat",
        "provider": "anthropic",
        "request_model": "claude-sonnet-4-5-20250929",
        "provider_account": "8c1e2f3a-1111-4222-8333-944445555666",
        "user_id": "ada@acme.test",
        "session_id": "764e3eed-ee0b-4a7c-ab71-f1fe4fd13efa",
        "tags": {
            "repository": "https://github.com/acme/widgets",
            "terminal": "iTerm.app",
            "prompt": "070c45f5-6dfb-490c-8036-afaa2dee7533",
            "query_source": "repl_main_thread",
            "effort": "medium",
        },
        "input_tokens": 33_772,
        "output_tokens": 42,
        "input_uncached_tokens": 9,
        "cache_read_tokens": 30_008,
        "cache_write_5m_tokens": 755,
        "cache_write_1h_tokens": 3000,
        "cache_write_12h_tokens": 0,
        "output_text_tokens": 42,
        "usage_state": "reported",
        "token_basis": "exclusive",
        "cost_usd": Decimal("0.030490650000"),
        "cost_input": Decimal("0.000027000000"),
        "cost_cache_read": Decimal("0.009002400000"),
        "cost_cache_write": Decimal("0.020831250000"),
        "cost_output": Decimal("0.000630000000"),
        "cost_other": Decimal(0),
        "cost_source": "list",
        "price_id": "base:anthropic/claude-sonnet-4-5",
        "matched_model": "claude-sonnet-4-5",
        "reported_cost_usd": Decimal("0.030871650000"),
        "billing_basis": "usage",
        "first_token_us": 450_000,
        "attributes": {
            "anthropic.provider": '"firstParty"',
            "anthropic.seat_type": '"usage_based"',
            "cost_usd_micros": "30872",
            "event.sequence": "6",
            "user.account_id": '"user_01BWBeN28Z"',
            "user.account_uuid": '"0d9f2f4e-aaaa-4bbb-8ccc-9ddddeeeefff"',
        },
    }


def test_a_completed_answer_of_codex_is_a_priced_call_without_a_length() -> None:
    assert row(codex({**CODEX_COMPLETED, "auth_mode": "ApiKey"}, resource={"env": "dev"})) == {
        "name": "codex.sse_event",
        "kind": "client",
        "start_time": AT,
        "status": "unset",
        "service_name": "codex_cli_rs",
        "environment": "dev",
        "scope_name": "codex_otel.log_only",
        "scope_version": "1.2.3",
        "dialect": "codex",
        "role": "inference",
        "operation": "chat",
        "provider": "openai",
        "request_model": "gpt-5.1",
        "user_id": "ada@acme.test",
        "session_id": "01a222b5-064e-7381-b2e1-22bbe87b6599",
        "tags": {"terminal": "xterm", "app_version": "0.171.0", "entrypoint": "codex_cli_rs"},
        "input_tokens": 2000,
        "output_tokens": 300,
        "input_uncached_tokens": 500,
        "cache_read_tokens": 1500,
        "cache_write_5m_tokens": 0,
        "cache_write_1h_tokens": 0,
        "cache_write_12h_tokens": 0,
        "output_text_tokens": 100,
        "reasoning_tokens": 200,
        "usage_state": "reported",
        "token_basis": "inclusive",
        "cost_usd": Decimal("0.003812500000"),
        "cost_input": Decimal("0.000625000000"),
        "cost_cache_read": Decimal("0.000187500000"),
        "cost_cache_write": Decimal(0),
        "cost_output": Decimal("0.003000000000"),
        "cost_other": Decimal(0),
        "cost_source": "list",
        "price_id": "base:openai/gpt-5.1",
        "matched_model": "gpt-5.1",
        "billing_basis": "usage",
        "attributes": {
            "auth_mode": '"ApiKey"',
            "event.kind": '"response.completed"',
            "slug": '"gpt-5.1"',
            "user.account_id": '"acct-7"',
        },
    }


def test_a_response_of_gemini_cli_counts_thoughts_as_output_and_prompts_of_tools_as_input() -> None:
    found = row(gemini(GEMINI_RESPONSE))

    assert {key: found[key] for key in found if key.endswith("_tokens") or key.startswith("cost_")} == {
        "input_tokens": 20_050,
        "output_tokens": 900,
        "input_uncached_tokens": 4050,
        "cache_read_tokens": 16_000,
        "output_text_tokens": 700,
        "reasoning_tokens": 200,
        "cost_usd": Decimal("0.003945000000"),
        "cost_input": Decimal("0.001215000000"),
        "cost_cache_read": Decimal("0.000480000000"),
        "cost_cache_write": Decimal(0),
        "cost_output": Decimal("0.002250000000"),
        "cost_other": Decimal(0),
        "cost_source": "list",
    }
    assert (found["duration_us"], found["finish_reason"], found["user_id"], found["billing_basis"]) == (
        1_500_000,
        "stop",
        "ada@acme.test",
        "usage",
    )
    assert "response_text" not in found["attributes"]


def test_a_prompt_on_the_command_line_is_not_kept() -> None:
    [found] = rows(gemini(GEMINI_RESPONSE, resource={"process.command_args": ["gemini", "-p", "a secret"], "x": "y"}))

    assert found["resource"] == [("x", '"y"')]


@pytest.mark.parametrize(
    ("request_", "basis"),
    [
        (claude(CLAUDE_REQUEST), "usage"),
        (claude({**CLAUDE_REQUEST, **CLAUDE_ACCOUNT, "anthropic.plan": "max"}), "plan"),
        (
            claude({**CLAUDE_REQUEST, **CLAUDE_ACCOUNT, "anthropic.plan": "team", "anthropic.seat_type": "premium"}),
            "plan",
        ),
        (codex({**CODEX_COMPLETED, "auth_mode": "Chatgpt"}), "plan"),
        (codex({**CODEX_COMPLETED, "auth_mode": "api_key"}), "usage"),
        (codex(CODEX_COMPLETED), "usage"),
        (gemini({**GEMINI_RESPONSE, "auth_type": "oauth-personal"}), "plan"),
        (gemini({**GEMINI_RESPONSE, "auth_type": "vertex-ai"}), "usage"),
    ],
)
def test_what_the_event_says_of_the_account_tells_who_pays(request_: Any, basis: str) -> None:
    assert row(request_)["billing_basis"] == basis


def test_what_a_plan_pays_for_is_no_cost_and_its_worth_is_kept_apart() -> None:
    found = row(codex({**CODEX_COMPLETED, "auth_mode": "Chatgpt"}))

    assert {key: found.get(key) for key in ("cost_usd", "cost_input", "cost_source", "unpriced_reason")} == {
        "cost_usd": None,
        "cost_input": None,
        "cost_source": "none",
        "unpriced_reason": "plan",
    }
    assert (found["equivalent_usd"], found["price_id"]) == (Decimal("0.003812500000"), "base:openai/gpt-5.1")


def test_a_sign_in_that_may_be_a_plan_or_not_is_charged_once_somebody_says_which() -> None:
    old = {key: value for key, value in {**CLAUDE_REQUEST, **CLAUDE_ACCOUNT}.items() if key != "anthropic.provider"}

    untold, by_setting, by_resource = (
        row(claude(old)),
        row(claude(old), billing={"claude*": "usage"}),
        row(claude(old, resource={"spanledger.billing_basis": "plan"}), billing={"claude*": "usage"}),
    )

    assert (
        untold.get("billing_basis"),
        untold.get("cost_usd"),
        untold["unpriced_reason"],
        untold["equivalent_usd"],
    ) == (
        None,
        None,
        "unknown_billing",
        Decimal("0.030490650000"),
    )
    assert (by_setting["billing_basis"], by_setting["cost_usd"]) == ("usage", Decimal("0.030490650000"))
    assert (by_resource["billing_basis"], by_resource["equivalent_usd"]) == ("plan", Decimal("0.030490650000"))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            claude(
                {
                    **CLAUDE_WHO,
                    "event.name": "api_error",
                    "model": "claude-sonnet-4-5",
                    "error": "Overloaded",
                    "status_code": 529,
                    "duration_ms": 9000,
                    "attempt": 11,
                }
            ),
            ("claude_code.api_error", "529", "Overloaded", 9_000_000, 11),
        ),
        (
            codex(
                {
                    **CODEX_WHO,
                    "event.name": "codex.api_request",
                    "duration_ms": "43",
                    "http.response.status_code": 429,
                    "error.message": "too many requests",
                    "attempt": 1,
                }
            ),
            ("codex.api_request", "429", "too many requests", 43_000, None),
        ),
        (
            gemini(
                {
                    **GEMINI_WHO,
                    "event.name": "gemini_cli.api_error",
                    "error.message": "quota",
                    "error.type": "ApiError",
                    "model_name": "gemini-2.5-flash",
                    "duration": 800,
                    "status_code": 429,
                }
            ),
            ("gemini_cli.api_error", "ApiError", "quota", 800_000, None),
        ),
    ],
)
def test_a_request_that_failed_is_a_call_without_usage(request_: Any, expected: tuple[Any, ...]) -> None:
    found = row(request_)

    assert (
        tuple(found.get(key) for key in ("name", "error_type", "status_message", "duration_us", "attempts")) == expected
    )
    assert (found["role"], found["status"], found["usage_state"], found["unpriced_reason"]) == (
        "inference",
        "error",
        "missing",
        "error",
    )


def test_tools_are_rows_without_what_they_were_told_and_said() -> None:
    ran = {
        **CODEX_WHO,
        "event.name": "codex.tool_result",
        "tool_name": "shell",
        "call_id": "call_1",
        "duration_ms": "20",
    }
    found = row(codex({**ran, "success": "false", "arguments": "cat /etc/passwd", "output": "root:x:0"}))

    assert {key: found.get(key) for key in ("role", "tool_name", "status", "duration_us", "cost_usd")} == {
        "role": "tool",
        "tool_name": "shell",
        "status": "error",
        "duration_us": 20_000,
        "cost_usd": None,
    }
    assert "root:x:0" not in str(found)
    assert "passwd" not in str(found)


def test_numbers_that_an_event_writes_as_text_are_numbers() -> None:
    ran = {**CLAUDE_WHO, "event.name": "tool_result", "tool_name": "Bash", "success": "true", "duration_ms": "594"}
    found = row(claude({**ran, "tool_result_size_bytes": "2", "tool_input": '{"command": "env"}'}))

    assert (found["tool_name"], found["status"], found["duration_us"]) == ("Bash", "unset", 594_000)
    assert found["attributes"] == {"anthropic.provider": '"firstParty"', "tool_result_size_bytes": '"2"'}


def test_every_other_log_record_is_dropped() -> None:
    ignored = [
        claude({**CLAUDE_WHO, "event.name": "user_prompt", "prompt": "hello"}),
        codex({**CODEX_WHO, "event.name": "codex.sse_event", "event.kind": "response.created", "duration_ms": "0"}),
        codex({**CODEX_WHO, "event.name": "codex.api_request", "http.response.status_code": 200, "attempt": 0}),
        gemini(
            {**GEMINI_WHO, "event.name": "gen_ai.client.inference.operation.details", "gen_ai.usage.input_tokens": 9}
        ),
        logs("shop", "shop.web", {"http.route": "/", "event.name": "api_request", "input_tokens": 5, "model": "gpt-5"}),
    ]

    found = produced(*ignored)

    assert (found.tables, found.dead) == ({}, [])


def test_a_retry_has_the_same_ids_in_json_as_in_protobuf() -> None:
    request = claude(CLAUDE_REQUEST, {**CLAUDE_REQUEST, "event.sequence": 7})
    as_json = read_json(json_format.MessageToJson(request).encode(), ExportLogsServiceRequest)
    ids = [[(found["trace_id"], found["span_id"]) for found in rows(one)] for one in (request, as_json)]

    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert len({trace for trace, _ in ids[0]}) == 1  # one prompt, one trace


def test_an_event_of_a_trace_hangs_below_the_span_that_it_names() -> None:
    [found] = rows(claude(CLAUDE_REQUEST, trace_id=b"t" * 16, span_id=b"s" * 8))

    assert (found["trace_id"], found["parent_span_id"]) == ((b"t" * 16).hex(), (b"s" * 8).hex())


def test_the_span_of_the_same_request_is_not_charged_beside_the_event() -> None:
    request = ExportTraceServiceRequest()
    home = request.resource_spans.add()
    home.resource.attributes.extend(pairs({"service.name": "claude-code"}))
    inside = home.scope_spans.add()
    inside.scope.name = "com.anthropic.claude_code.tracing"
    inside.spans.add(
        trace_id=b"t" * 16,
        span_id=b"x" * 8,
        name="claude_code.llm_request",
        start_time_unix_nano=AT_NS - 2_600_000_000,
        end_time_unix_nano=AT_NS,
        attributes=pairs(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "anthropic",
                "gen_ai.request.model": CLAUDE_REQUEST["model"],
                "gen_ai.response.id": CLAUDE_REQUEST["request_id"],
                "gen_ai.usage.input_tokens": 33_772,
                "gen_ai.usage.output_tokens": 42,
                "gen_ai.usage.cache_read.input_tokens": 30_008,
                "gen_ai.usage.cache_write.input_tokens": 3755,
            }
        ),
    )

    span, event = rows(request, claude(CLAUDE_REQUEST))

    assert (span["duplicate_of"], span["cost_usd"]) == (event["span_id"], None)
    assert event["cost_usd"] == Decimal("0.030490650000")


def span_of(provider: str, model: str, **more: Any) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    home = request.resource_spans.add()
    home.resource.attributes.extend(pairs({"service.name": "copilot-chat"}))
    home.scope_spans.add().spans.add(
        trace_id=b"t" * 16,
        span_id=b"x" * 8,
        name=f"chat {model}",
        start_time_unix_nano=AT_NS,
        end_time_unix_nano=AT_NS + 1,
        attributes=pairs(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 100,
                **more,
            }
        ),
    )
    return request


@pytest.mark.parametrize(
    ("span", "basis", "cost_usd", "equivalent_usd"),
    [
        (span_of("github", "claude-sonnet-4.5"), "plan", None, Decimal("0.0045")),
        (span_of("github", "gpt-5.1"), "plan", None, Decimal("0.00225")),
        (span_of("github", "a model of its own"), "plan", None, None),
        (span_of("anthropic", "claude-sonnet-4-5"), "usage", Decimal("0.0045"), None),
        (span_of("anthropic", "claude-sonnet-4-5", **{"anthropic.plan": "max"}), "plan", None, Decimal("0.0045")),
        (
            span_of(
                "anthropic",
                "claude-sonnet-4-5",
                **{"anthropic.plan": "enterprise", "anthropic.seat_type": "usage_based"},
            ),
            "usage",
            Decimal("0.0045"),
            None,
        ),
    ],
)
def test_spans_of_agents_tell_who_pays_too(
    span: Any, basis: str, cost_usd: Decimal | None, equivalent_usd: Decimal | None
) -> None:
    found = row(span)

    assert (found["billing_basis"], found.get("cost_usd"), found.get("equivalent_usd"), found["provider"]) == (
        basis,
        cost_usd,
        equivalent_usd,
        "github" if "github" in str(span) else "anthropic",
    )
    assert found.get("unpriced_reason") == ("plan" if basis == "plan" else None)


def test_copilot_counts_its_calls_and_not_its_agent() -> None:
    request = span_of("github", "gpt-5.1")
    request.resource_spans[0].scope_spans[0].spans.add(
        trace_id=b"t" * 16,
        span_id=b"a" * 8,
        name="invoke_agent copilot",
        start_time_unix_nano=AT_NS,
        end_time_unix_nano=AT_NS + 2,
        attributes=pairs(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.provider.name": "github",
                "gen_ai.conversation.id": "a1b2",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 100,
                "github.copilot.git.repository": "https://github.com/acme/widgets.git",
            }
        ),
    )

    call, agent = rows(request)

    assert (call["role"], agent["role"], agent["unpriced_reason"], agent["session_id"]) == (
        "inference",
        "agent",
        "aggregate",
        "a1b2",
    )
    assert dict(agent["attributes"])["github.copilot.git.repository"] == '"https://github.com/acme/widgets.git"'


def test_tags_on_the_resource_are_tags_and_name_the_user() -> None:
    said = {
        "spanledger.tag.repository": "acme/widgets",
        "team.id": "platform",
        "enduser.id": "ada",
        "repository": "old",
    }
    found = row(codex(CODEX_COMPLETED, resource=said))

    assert (found["team_id"], found["user_id"], found["tags"]["repository"]) == ("platform", "ada", "acme/widgets")


def test_a_log_body_that_breaks_the_converter_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = codex(CODEX_COMPLETED).SerializeToString()

    def fragile(body: bytes, *rest: int) -> LogsRead:
        if body == bad:
            raise ZeroDivisionError("thirteen")
        return read_logs(body, *rest)

    monkeypatch.setattr(signals, "read_logs", fragile)
    bodies = [claude(CLAUDE_REQUEST).SerializeToString(), bad, gemini(GEMINI_RESPONSE).SerializeToString()]
    found = convert_records([Record(AT_NS, body, "logs") for body in bodies])

    assert found.dead == [(bad, "ZeroDivisionError: thirteen")]
    assert found.of(SPANS)["dialect"].to_pylist() == ["claude_code", "gemini_cli"]


def test_a_body_that_is_none_goes_to_dead_whole_and_spares_the_others() -> None:
    found = convert_records(
        [Record(AT_NS, b"\xff\xff", "logs"), Record(AT_NS, claude(CLAUDE_REQUEST).SerializeToString(), "logs")]
    )

    [(body, reason)] = found.dead
    assert (body, reason.startswith("not an OTLP logs request"), found.of(SPANS).num_rows) == (b"\xff\xff", True, 1)


@pytest.mark.parametrize(
    ("claim", "booked"),
    [
        ("12345.678901234567", Decimal("12345.678901234567")),  # more digits than a double has
        (0.1, Decimal("0.1")),
        ("0.0000000000005", Decimal("0.000000000001")),
        ("much", None),
        ("nan", None),
        ("1e9", None),
    ],
)
def test_a_claim_is_kept_to_the_pico_dollar_or_is_none(claim: str | float, booked: Decimal | None) -> None:
    assert row(claude({**CLAUDE_REQUEST, "cost_usd": claim})).get("reported_cost_usd") == booked
