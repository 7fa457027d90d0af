"""Fingerprints from each real SDK to the collector's row; no word of a prompt is in any byte on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import boto3
import openai
import pytest
from google.genai import Client, types

from spanledger import faults, fingerprints
from spanledger_cli.demo.provider import LocalProvider
from spanledger_collector import loop
from spanledger_collector.rows import convert
from tracing import Traced, switched_on

SYSTEM = "Recommend quiet places only"
QUESTION = "Where is the best hotel in Reykjavik"
ANSWER = "Near the Tjornin pond"
RESULT = "Hotel Holt has vacancies"
SECRET = "sk-not-to-be-seen-anywhere"
WORDS = [*{*SYSTEM.split(), *QUESTION.split(), *ANSWER.split(), *RESULT.split()} - {"is", "in", "the", "has"}, SECRET]
"""What must not leave."""
TOOL: Any = {"type": "object", "properties": {"vicinity": {"type": "string"}}}
WORDS += ["vicinity", "find_bed"]
CONVERSATION: Any = [
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": ANSWER},
    {"role": "user", "content": QUESTION},
]

Ask = Callable[[LocalProvider], object]


def openai_client(provider: LocalProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key=SECRET)


def openai_chat(provider: LocalProvider) -> None:
    with openai_client(provider) as client:
        client.chat.completions.create(
            model="gpt-4o",
            messages=[
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "find_bed", "arguments": QUESTION}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": RESULT},
            ],
            tools=[{"type": "function", "function": {"name": "find_bed", "parameters": TOOL}}],
        )


def openai_responses(provider: LocalProvider) -> None:
    with openai_client(provider) as client:
        client.responses.create(
            model="gpt-4o",
            instructions=SYSTEM,
            input=[
                {"role": "user", "content": QUESTION},
                {"type": "function_call", "call_id": "c1", "name": "find_bed", "arguments": QUESTION},
                {"type": "function_call_output", "call_id": "c1", "output": RESULT},
            ],
            tools=[{"type": "function", "name": "find_bed", "parameters": TOOL, "strict": False}],
        )


def anthropic_messages(provider: LocalProvider) -> None:
    with anthropic.Anthropic(base_url=provider.url, api_key=SECRET) as client:
        client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            system=[{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
            messages=[
                {"role": "user", "content": QUESTION},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "find_bed", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": RESULT}]},
            ],
            tools=[{"name": "find_bed", "input_schema": {"type": "object"}}],
        )


def gemini(provider: LocalProvider) -> None:
    with Client(api_key=SECRET, http_options=types.HttpOptions(base_url=provider.url)) as client:
        client.models.generate_content(
            model="gemini-2.5-flash",
            contents=[
                types.Content(role="user", parts=[types.Part(text=QUESTION)]),
                types.Content(role="model", parts=[types.Part.from_function_call(name="find_bed", args={})]),
                types.Content(
                    role="user", parts=[types.Part.from_function_response(name="find_bed", response={"is": RESULT})]
                ),
            ],
            config=types.GenerateContentConfig(
                system_instruction=SYSTEM,
                tools=[types.Tool(function_declarations=[types.FunctionDeclaration(name="find_bed")])],
            ),
        )


def bedrock_client(provider: LocalProvider) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=provider.url,
        aws_access_key_id=SECRET,
        aws_secret_access_key=SECRET,
    )


def bedrock_converse(provider: LocalProvider) -> None:
    client = bedrock_client(provider)
    use = {"toolUse": {"toolUseId": "c1", "name": "find_bed", "input": {}}}
    result = {"toolResult": {"toolUseId": "c1", "content": [{"text": RESULT}]}}
    client.converse(
        modelId="us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        system=[{"text": SYSTEM}, {"cachePoint": {"type": "default"}}],
        messages=[
            {"role": "user", "content": [{"text": QUESTION}]},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
        toolConfig={"tools": [{"toolSpec": {"name": "find_bed", "inputSchema": {"json": TOOL}}}]},
    )
    client.close()


def bedrock_invoke(provider: LocalProvider) -> None:
    client = bedrock_client(provider)
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "system": SYSTEM,
        "messages": [
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "find_bed", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": RESULT}]},
        ],
        "tools": [{"name": "find_bed", "input_schema": TOOL}],
    }
    answer = client.invoke_model(modelId="us.anthropic.claude-sonnet-4-5-20250929-v1:0", body=json.dumps(body))
    answer["body"].read()
    client.close()


AGENTS = [openai_chat, openai_responses, anthropic_messages, gemini, bedrock_converse, bedrock_invoke]
"""One step of an agent in each SDK: a system prompt, a tool, a question, a call of the tool, and its result."""


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


def row_of(traced: Traced) -> dict[str, Any]:
    """Return the collector's row of the one span."""
    traced.span()
    bodies = [request.raw for request in traced.sink.received]
    (row,) = convert(bodies, [0] * len(bodies)).rows.to_pylist(maps_as_pydicts="strict")
    found: dict[str, Any] = row
    return found


@pytest.mark.parametrize("ask", AGENTS)
def test_a_step_of_an_agent_fills_the_columns(ask: Ask, traced: Traced, provider: LocalProvider) -> None:
    ask(provider)

    row = row_of(traced)
    sizes = {name: row.pop(f"{name}_size") for name in ("system", "tools", "history", "tool_results", "user")}
    hashes = [row[f"{name}_hash"] for name in ("prompt", "system", "tools", "api_key")]
    messages = 4 if ask is openai_chat else 3
    assert (row["message_count"], row["tool_count"], row["turn"]) == (messages, 1, 1)
    assert len(row["prefix_chain"]) == len(set(row["prefix_chain"])) == 4
    assert all(len(bytes.fromhex(hash_)) == 8 for hash_ in hashes)
    assert len(set(hashes)) == 4
    assert row["simhash"] is None
    assert (sizes["system"], sizes["user"]) == (len(SYSTEM), 0)
    assert len(RESULT) <= sizes["tool_results"] < len(RESULT) + 150
    assert len(QUESTION) < sizes["history"] < 2 * len(QUESTION) + 150
    assert 20 < sizes["tools"] < 200
    assert not [name for name in row["attributes"] if "hash" in name or "size" in name]
    assert len(row["resource"]["spanledger.features.key_id"]) == 10  # quoted, as JSON


@pytest.mark.parametrize("features", ["hash", "sketch"])
@pytest.mark.parametrize("ask", AGENTS)
def test_no_word_of_a_prompt_is_in_any_byte_that_leaves(
    ask: Ask, features: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    monkeypatch.setenv("SPANLEDGER_FEATURES", features)
    with switched_on(monkeypatch, tmp_path) as traced:
        ask(provider)
        assert ("spanledger.simhash" in traced.span()["attributes"]) == (features == "sketch")
        sent = b"".join(request.raw for request in traced.sink.received).lower()

    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()).lower()
    assert [word for word in WORDS if word.lower().encode() in sent + kept] == []


def test_both_readers_of_the_collector_see_the_same(traced: Traced, provider: LocalProvider) -> None:
    for ask in AGENTS:
        ask(provider)
    assert len(traced.spans()) == len(AGENTS)
    bodies = [request.raw for request in traced.sink.received]

    plain = [dict(row) for row in loop.read_bodies(bodies).to_pylist()]

    rows = convert(bodies, [0] * len(bodies)).rows.to_pylist()
    assert [row["span:spanledger.prefix_chain"] for row in plain] == [row["prefix_chain"] for row in rows]
    assert all(len(row["prefix_chain"]) == 4 for row in rows)


def test_one_conversation_has_one_chain_at_every_provider(traced: Traced, provider: LocalProvider) -> None:
    with openai_client(provider) as client:
        client.chat.completions.create(model="gpt-4o", messages=CONVERSATION)
        client.responses.create(model="gpt-4o", input=CONVERSATION)
        client.responses.create(model="gpt-4o", input=QUESTION)
    with anthropic.Anthropic(base_url=provider.url, api_key=SECRET) as client_:
        client_.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=CONVERSATION)
    chains = [span["attributes"]["spanledger.prefix_chain"] for span in traced.spans()]

    assert chains[0] == chains[1] == chains[3]
    assert chains[2] == chains[0][:16]


def test_calls_with_another_key_have_another_hash_and_the_same_one_the_same(
    traced: Traced, provider: LocalProvider
) -> None:
    for key in ("one", "other", "one"):
        with openai.OpenAI(base_url=f"{provider.url}/v1", api_key=key) as client:
            client.embeddings.create(model="text-embedding-3-small", input=QUESTION)
    spans = [span["attributes"] for span in traced.spans()]
    keys = [span["spanledger.api_key.hash"] for span in spans]

    assert keys[0] == keys[2] != keys[1]
    assert len({span["spanledger.prompt.hash"] for span in spans}) == 1
    assert "spanledger.prefix_chain" not in spans[0]


def test_a_key_that_is_asked_for_before_each_call_has_no_hash(traced: Traced, provider: LocalProvider) -> None:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key=lambda: SECRET) as client:
        client.chat.completions.create(model="gpt-4o", messages=CONVERSATION)

    assert "spanledger.api_key.hash" not in traced.span()["attributes"]


def test_extra_parameters_count_and_the_model_does_not(traced: Traced, provider: LocalProvider) -> None:
    with openai_client(provider) as client:
        for model, extra in (("gpt-4o", {}), ("gpt-4o-mini", {}), ("gpt-4o", {"top_k": 3})):
            client.chat.completions.create(model=model, messages=CONVERSATION, extra_body=extra)
    hashes = [span["attributes"]["spanledger.prompt.hash"] for span in traced.spans()]

    assert hashes[0] == hashes[1] != hashes[2]


def test_messages_that_can_be_read_only_once_reach_the_provider(traced: Traced, provider: LocalProvider) -> None:
    with openai_client(provider) as client:
        answer = client.chat.completions.create(
            model="gpt-4o",
            messages=(message for message in CONVERSATION),
        )

    assert answer.choices
    assert traced.span()["attributes"]["spanledger.message_count"] == 3


def test_switched_off_nothing_is_hashed_and_no_key_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    monkeypatch.setenv("SPANLEDGER_FEATURES", "none")
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        openai_chat(provider)
        attributes = traced.span()["attributes"]

    assert [name for name in attributes if "hash" in name or "chain" in name or "size" in name] == []
    assert not list(tmp_path.rglob("*.key"))


def test_a_word_that_is_no_choice_switches_off_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    with switched_on(monkeypatch, tmp_path):
        monkeypatch.setenv("SPANLEDGER_FEATURES", "embedding")
        for _ in range(2):
            openai_chat(provider)

    (line,) = capsys.readouterr().err.splitlines()
    assert "SPANLEDGER_FEATURES" in line
    assert "none, hash or sketch" in line


def deep() -> list[object]:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize("hostile", [deep(), {1: {(2,): object()}}, b"\xff" * 10, float("nan"), "\ud800"])
def test_a_prompt_that_cannot_be_read_costs_its_fingerprints_at_most(
    hostile: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    client = bedrock_client(provider)
    client.meta.events.register("before-parameter-build", _without_hostile)
    cycle: list[object] = [hostile]
    cycle.append(cycle)
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced:
        for content in ([hostile], cycle):
            client.converse(
                modelId="us.anthropic.claude-sonnet-4-5-20250929-v1:0", messages=[{"role": "user", "content": content}]
            )
        spans = traced.spans()
    client.close()

    assert [span["attributes"]["gen_ai.usage.input_tokens"] > 0 for span in spans] == [True, True]


def _without_hostile(params: dict[str, Any], **_more: object) -> None:
    params["messages"] = [{"role": "user", "content": [{"text": QUESTION}]}]


@pytest.mark.parametrize(
    ("owner", "name"), [(fingerprints, "read_prompt"), (fingerprints, "_add_sizes"), (fingerprints, "partial")]
)
def test_a_fault_in_a_fingerprint_costs_no_more_than_that(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    def broken(*_anything: object, **_more: object) -> None:
        raise RuntimeError("injected")

    before = faults.counts()
    with switched_on(monkeypatch, tmp_path, faultless=False) as traced, pytest.MonkeyPatch.context() as patched:
        patched.setattr(owner, name, broken)
        openai_chat(provider)
        attributes = traced.span()["attributes"]

    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert "spanledger.prompt.hash" not in attributes
    assert {name for name in faults.counts() if faults.counts()[name] != before.get(name)} == {
        "call recorded without its fingerprints: RuntimeError"
    }
