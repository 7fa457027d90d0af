"""Calls of Amazon Bedrock through the real boto3, as spans on the wire."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStream
from botocore.exceptions import ClientError, EventStreamError
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError

import spanledger
from spanledger import call, stream
from spanledger.sdks import bedrock_sdk, bedrock_usage
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import Traced, switched_on

PROMPT = "Where is the best hotel in Paris?"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-pro-v1:0"
LLAMA = "meta.llama3-8b-instruct-v1:0"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
COHERE = "cohere.command-r-plus-v1:0"
CONVERSE: Any = {"modelId": CLAUDE, "messages": [{"role": "user", "content": [{"text": PROMPT}]}]}
CLAUDE_BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": PROMPT}],
}
TRUTH = Usage(
    input_uncached_tokens=20,
    cache_read_tokens=3000,
    cache_write_5m_tokens=1000,
    cache_write_1h_tokens=500,
    output_text_tokens=130,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*unclosed <socket:ResourceWarning", "ignore:.*<socket:pytest.PytestUnraisableExceptionWarning"
)
"""botocore leaves the socket of a stream that is dropped, traced or not."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    with switched_on(monkeypatch, tmp_path) as traced:
        yield traced


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


def make_client(provider: LocalProvider, **config: Any) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=provider.url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(**config),
    )


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[Any]:
    client = make_client(provider)
    yield client
    client.close()


def _expected(response_id: str, **more: object) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": CLAUDE,
        "gen_ai.response.id": response_id,
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 4520,
        "gen_ai.usage.output_tokens": 130,
        "gen_ai.usage.cache_read.input_tokens": 3000,
        "gen_ai.usage.cache_write.input_tokens": 1500,
        "spanledger.usage.cache_write_5m.input_tokens": 1000,
        "spanledger.usage.cache_write_1h.input_tokens": 500,
        "server.address": "127.0.0.1",
        "spanledger.usage.state": "reported",
        "spanledger.region": "us-east-1",
        "spanledger.attempts": 1,
        # 20 x $3.30 + 3000 x $0.33 + 1000 x $4.125 + 500 x $6.60 + 130 x $16.50, a million
        "gen_ai.usage.cost": 0.010626,
        "spanledger.cost.pico_usd": 10_626_000_000,
        "spanledger.cost.source": "list",
        "spanledger.price.id": "base:aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        **more,
    }


def test_converse_is_one_span_with_the_cache_added_to_its_input(
    traced: Traced, provider: LocalProvider, client: Any
) -> None:
    provider.plan(Plan(usage=TRUTH, service_tier="priority"))

    answer = client.converse(**CONVERSE, inferenceConfig={"maxTokens": 200, "temperature": 0.5})

    assert type(answer) is dict
    assert (answer["usage"]["inputTokens"], answer["usage"]["totalTokens"]) == (20, 4650)
    assert traced.attributes() == _expected(
        answer["ResponseMetadata"]["RequestId"],
        **{
            "gen_ai.request.max_tokens": 200,
            "gen_ai.request.temperature": 0.5,
            "spanledger.service_tier": "priority",
        },
    )
    assert traced.span()["name"] == f"chat {CLAUDE}"


def test_a_converse_stream_is_counted_once_at_its_end(traced: Traced, provider: LocalProvider, client: Any) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.converse_stream(**CONVERSE)
    events = [name for event in answer["stream"] for name in event]

    assert type(answer["stream"]) is EventStream
    assert (events[0], events[-2:], len(events)) == ("messageStart", ["messageStop", "metadata"], 10)
    more = {"gen_ai.request.stream": True}
    assert traced.attributes() == _expected(answer["ResponseMetadata"]["RequestId"], **more)
    assert call.open_streams() == 0


def _read(body: Any) -> Any:
    return body.read()


def _read_by_chunks(body: Any) -> Any:
    return b"".join(body.iter_chunks(100))


def _read_by_lines(body: Any) -> Any:
    return b"\n".join(body.iter_lines())


def _read_below(body: Any) -> Any:
    with body as raw:
        return raw.read()


def _read_as_file(body: Any) -> Any:
    return json.dumps(json.load(body)).encode()


@pytest.mark.parametrize("read", [_read, _read_by_chunks, _read_by_lines, _read_below, _read_as_file])
def test_a_body_of_invoke_model_is_counted_however_it_is_read(
    traced: Traced, provider: LocalProvider, client: Any, read: Callable[[Any], bytes]
) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.invoke_model(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))
    body = json.loads(read(answer["body"]))

    assert type(answer["body"]) is StreamingBody
    assert body["usage"]["cache_read_input_tokens"] == 3000
    more = {"gen_ai.request.max_tokens": 200}
    assert traced.attributes() == _expected(body["id"], **more)


def test_a_stream_of_invoke_model_is_counted_once_at_its_end(
    traced: Traced, provider: LocalProvider, client: Any
) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]

    assert type(answer["body"]) is EventStream
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    more = {"gen_ai.request.max_tokens": 200, "gen_ai.request.stream": True}
    assert traced.attributes() == _expected(events[0]["message"]["id"], **more)


def test_a_body_that_is_never_read_is_counted_by_its_headers(
    traced: Traced, provider: LocalProvider, client: Any
) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.invoke_model(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))
    answer["body"].close()

    attributes = traced.attributes()
    # Headers don't tell the lifetime of a write.
    counted = "input_tokens", "output_tokens", "cache_read.input_tokens", "cache_write.input_tokens"
    assert [attributes[f"gen_ai.usage.{name}"] for name in counted] == [4520, 130, 3000, 1500]
    assert attributes["spanledger.usage.state"] == "reported"


@pytest.mark.parametrize(("model", "reason"), [(NOVA, "end_turn"), (LLAMA, "stop"), (MISTRAL, "stop")])
def test_every_family_is_counted_by_its_own_names(
    traced: Traced, provider: LocalProvider, client: Any, model: str, reason: str
) -> None:
    provider.plan(*[Plan(usage=Usage(input_uncached_tokens=1000, output_text_tokens=60))] * 2)
    body = json.dumps({"prompt": PROMPT})

    client.invoke_model(modelId=model, body=body)["body"].read()
    list(client.invoke_model_with_response_stream(modelId=model, body=body.encode())["body"])

    for span in traced.spans():
        attributes = span["attributes"]
        assert [attributes[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output")] == [1000, 60]
        assert attributes["gen_ai.response.finish_reasons"] == [reason]
        assert attributes["spanledger.usage.state"] == "reported"
        assert attributes["spanledger.price.id"] == f"base:aws/{model}"


def test_counts_that_nobody_reports_are_estimated_and_said_to_be(
    traced: Traced, provider: LocalProvider, client: Any
) -> None:
    body = json.dumps({"message": PROMPT})

    client.invoke_model(modelId=COHERE, body=body)["body"].read()
    list(client.invoke_model_with_response_stream(modelId=COHERE, body=body)["body"])

    for span in traced.spans():
        told = {name: value for name, value in span["attributes"].items() if ".usage." in name}
        assert told == {
            "spanledger.usage.state": "estimated",
            "spanledger.usage.method": "bytes_per_token",
            "gen_ai.usage.input_tokens": 9,
            "gen_ai.usage.output_tokens": 40,
        }


def test_embeddings_are_input_only(traced: Traced, provider: LocalProvider, client: Any) -> None:
    provider.plan(Plan(usage=Usage(input_uncached_tokens=9)))

    client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=io.BytesIO(b'{"inputText": "a hotel"}'))[
        "body"
    ].read()

    attributes = traced.attributes()
    assert attributes["gen_ai.operation.name"] == "embeddings"
    assert (attributes["gen_ai.usage.input_tokens"], attributes["spanledger.cost.pico_usd"]) == (9, 180_000)


def test_each_turn_with_a_tool_is_a_call(traced: Traced, client: Any) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = {"tools": [{"toolSpec": {"name": "find_hotel", "inputSchema": {"json": schema}}}]}

    first = client.converse(**CONVERSE, toolConfig=tools)
    said = first["output"]["message"]
    result = {"toolUseId": said["content"][0]["toolUse"]["toolUseId"], "content": [{"text": "Ritz"}]}
    turns = [*CONVERSE["messages"], said, {"role": "user", "content": [{"toolResult": result}]}]
    client.converse(modelId=CLAUDE, messages=turns, toolConfig=tools)

    reasons = [span["attributes"]["gen_ai.response.finish_reasons"] for span in traced.spans()]
    assert reasons == [["tool_use"], ["end_turn"]]


def test_counting_tokens_is_free_and_other_services_are_no_calls(traced: Traced, client: Any) -> None:
    counted = client.count_tokens(modelId=CLAUDE, input={"converse": {"messages": CONVERSE["messages"]}})
    sts = boto3.client("sts", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    sts.meta.events.register("before-call.sts.GetCallerIdentity", lambda **_: (_Answered(), {"Account": "1"}))
    sts.get_caller_identity()

    assert counted["inputTokens"] == 9
    attributes = traced.attributes()
    assert attributes.pop("gen_ai.response.id") == counted["ResponseMetadata"]["RequestId"]
    assert attributes == {
        "gen_ai.operation.name": "count_tokens",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": CLAUDE,
        "server.address": "127.0.0.1",
        "spanledger.region": "us-east-1",
        "spanledger.attempts": 1,
    }


class _Answered:
    status_code = 200


def test_an_error_is_the_sdks_own_exception_after_its_own_retries(traced: Traced, provider: LocalProvider) -> None:
    provider.plan(*[Plan(status=429)] * 2)
    client = make_client(provider, retries={"total_max_attempts": 2, "mode": "standard"})

    with pytest.raises(client.exceptions.ThrottlingException) as raised:
        client.converse(**CONVERSE)

    assert isinstance(raised.value, ClientError)
    span = traced.span()
    assert (span["status"], span["message"]) == ("ERROR", "ThrottlingException 429 ThrottlingException")
    assert traced.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": CLAUDE,
        "server.address": "127.0.0.1",
        "spanledger.region": "us-east-1",
        "error.type": "botocore.errorfactory.ThrottlingException",
        "http.response.status_code": 429,
        "spanledger.usage.state": "missing",
        "spanledger.attempts": 2,
    }


def test_what_never_reaches_the_provider_is_a_failed_span(traced: Traced, client: Any) -> None:
    with pytest.raises(Exception, match="Missing required parameter"):
        client.converse(messages=[])

    attributes = traced.attributes()
    assert attributes["error.type"] == "botocore.exceptions.ParamValidationError"


def _outcome(traced: Traced) -> tuple[object, ...]:
    span = traced.span()
    attributes = span["attributes"]
    known = attributes.get("gen_ai.usage.input_tokens"), attributes.get("error.type")
    return (span["status"], attributes["spanledger.usage.state"], *known)


@pytest.mark.parametrize("leave", ["close", "drop"])
def test_a_converse_stream_left_early_is_an_estimate_and_ends_its_span(traced: Traced, client: Any, leave: str) -> None:
    answer = client.converse_stream(**CONVERSE)
    next(iter(answer["stream"]))
    if leave == "close":
        answer["stream"].close()
    del answer
    gc.collect()

    assert _outcome(traced) == ("UNSET", "estimated", 9, None)
    assert call.open_streams() == 0


def test_a_claude_stream_left_early_is_an_estimate(traced: Traced, provider: LocalProvider, client: Any) -> None:
    provider.plan(Plan(usage=TRUTH))

    answer = client.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))
    next(iter(answer["body"]))
    answer["body"].close()

    assert _outcome(traced) == ("UNSET", "estimated", 4520, None)


def test_a_stream_that_is_never_read_ends_its_span(traced: Traced, client: Any) -> None:
    answer = client.converse_stream(**CONVERSE)
    del answer
    gc.collect()

    assert _outcome(traced) == ("UNSET", "estimated", 9, None)


def test_a_stream_that_breaks_off_is_the_sdks_exception(traced: Traced, provider: LocalProvider, client: Any) -> None:
    provider.plan(Plan(usage=TRUTH, cut_after_events=3))

    with pytest.raises(ProtocolError):
        list(client.converse_stream(**CONVERSE)["stream"])

    assert _outcome(traced) == ("ERROR", "estimated", 9, "urllib3.exceptions.ProtocolError")


def test_a_stream_that_says_it_failed_ends_its_span_at_once(
    traced: Traced, provider: LocalProvider, client: Any
) -> None:
    provider.plan(Plan(usage=TRUTH, cut_after_events=3, says_fault=True))
    answer = client.converse_stream(**CONVERSE)

    with pytest.raises(EventStreamError, match="the model failed"):
        list(answer["stream"])

    assert _outcome(traced) == ("ERROR", "estimated", 9, "modelStreamErrorException")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (bedrock_sdk, "_read_request"),
        (bedrock_sdk, "_read_body"),
        (bedrock_sdk, "read_metadata"),
        (stream, "watch_iterator"),
        (stream, "watch_body"),
        (bedrock_usage, "_read_counts"),
        (bedrock_usage, "_kind"),
        (call.Call, "record"),
    ],
)
def test_a_fault_at_any_seam_leaves_the_application_alone(
    owner: object, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Any
) -> None:
    def broken(*_anything: object, **_more: object) -> Any:
        raise ZeroDivisionError("injected")

    with switched_on(monkeypatch, tmp_path, faultless=False), pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, broken)
        answer = client.converse(**CONVERSE)
        events = list(client.converse_stream(**CONVERSE)["stream"])
        body = client.invoke_model(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))["body"].read()
        chunks = client.invoke_model_with_response_stream(modelId=CLAUDE, body=json.dumps(CLAUDE_BODY))["body"]
        assert len(list(chunks)) == 11
        spanledger.flush()

    assert answer["output"]["message"]["content"]
    assert len(events) == 10
    assert json.loads(body)["content"]
