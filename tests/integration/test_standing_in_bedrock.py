"""Another model stands in for the one that a request of the real boto3 to Amazon Bedrock names, or doesn't, and why."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from anthropic.lib.bedrock import AnthropicBedrock
from botocore.config import Config
from botocore.exceptions import ClientError

from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from standing_in import House, Start, degrading, spent_and_held, starting, told, why
from tracing import MESSAGES, Traced

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*unclosed <socket:ResourceWarning", "ignore:.*<socket:pytest.PytestUnraisableExceptionWarning"
)
SONNET, HAIKU = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"
THOUSAND = Usage(input_uncached_tokens=1000, output_text_tokens=100)
"""Of the one model 1,000 at $3.30 and 100 at $16.50 a million: $0.00495; of the other at $1.10 and $5.50: $0.00165."""
DEGRADE = degrading(SONNET, HAIKU)
UNPRICED = "tokens = 10_000"
PROMPT = "Where is the best hotel in Paris?"
CONVERSE: dict[str, Any] = {"modelId": SONNET, "messages": [{"role": "user", "content": [{"text": PROMPT}]}]}
CLAUDE_BODY: dict[str, Any] = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": PROMPT}],
}
Ask = Callable[..., object]


@pytest.fixture(scope="module")
def one_provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def one_client(one_provider: LocalProvider) -> Iterator[Any]:
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=one_provider.url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 2}),
    )
    yield client
    client.close()


@pytest.fixture
def provider(one_provider: LocalProvider, one_client: Any) -> Iterator[House]:
    yield House(one_provider, one_client)
    one_provider.forget_plans()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    with starting(monkeypatch, tmp_path) as start:
        yield start


def converse(house: House, **more: Any) -> object:
    return house.client.converse(**{**CONVERSE, **more})["output"]


def converse_stream(house: House, **more: Any) -> object:
    return list(house.client.converse_stream(**{**CONVERSE, **more})["stream"])


def _invoked(model: str = SONNET, **body: Any) -> dict[str, Any]:
    return {"modelId": model, "body": json.dumps({**CLAUDE_BODY, **body})}


def invoke(house: House, **body: Any) -> object:
    return house.client.invoke_model(**_invoked(**body))["body"].read()


def invoke_stream(house: House, **body: Any) -> object:
    return list(house.client.invoke_model_with_response_stream(**_invoked(**body))["body"])


WAYS: list[Ask] = [converse, converse_stream, invoke, invoke_stream]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def _sent(house: House) -> list[tuple[str, Any]]:
    """Watch what is sent: the model in the path, and the body."""
    sent: list[tuple[str, Any]] = []

    def look(request: Any, **_: object) -> None:
        path = str(request.url).partition("/model/")[2].partition("/")[0]
        sent.append((path.replace("%3A", ":"), json.loads(request.body)))

    house.client.meta.events.register("before-send.bedrock-runtime", look, unique_id="look")
    return sent


@pytest.fixture(autouse=True)
def _unwatched(one_client: Any) -> Iterator[None]:
    yield
    one_client.meta.events.unregister("before-send.bedrock-runtime", unique_id="look")


@each_way
def test_a_budget_that_degrades_has_the_cheaper_model_answer(way: Ask, start: Start, provider: House) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(usage=THOUSAND))
    assert way(provider)

    assert provider.billed == [HAIKU]
    assert told(traced) == {
        "model": HAIKU,
        "for": SONNET,
        "action": "degrade",
        "attempts": 1,
        "cost": 1_650_000_000,
        "avoided": 3_300_000_000,
    }
    assert spent_and_held() == [(1_650_000, 0)]


@pytest.mark.parametrize(
    ("way", "status"),
    [*((way, 403) for way in WAYS), (converse, 400), (converse_stream, 404)],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_a_provider_that_refuses_the_model_that_stands_in_is_asked_for_the_other(
    way: Ask, status: int, start: Start, provider: House
) -> None:
    """Access is granted for each model, so one may be denied that the other has."""
    traced = start(DEGRADE)
    provider.plan(Plan(status=status), Plan(usage=THOUSAND))
    assert way(provider)

    assert (provider.requests, provider.billed) == (2, [SONNET])
    assert told(traced) == {"model": SONNET, "action": "warn", "attempts": 2, "cost": 4_950_000_000}
    assert why(traced) == "the provider refused the request for it"
    assert spent_and_held() == [(4_950_000, 0)]


@pytest.mark.parametrize("way", [converse, invoke_stream], ids=lambda way: way.__name__)
def test_what_is_wrong_with_both_is_the_error_of_the_one_that_was_named(
    way: Ask, start: Start, provider: House
) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=403), Plan(status=400))
    with pytest.raises(ClientError) as refused:
        way(provider)

    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert (refused.value.__context__, provider.requests) == (None, 2)
    assert told(traced) == {
        "model": SONNET,
        "action": "warn",
        "attempts": 2,
        "error": "botocore.errorfactory.ValidationException",
    }
    assert spent_and_held() == [(0, 0)]


def test_a_model_without_access_is_taken_back_of_anthropics_client_of_bedrock_too(
    start: Start, provider: House
) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=403), Plan(usage=THOUSAND), Plan(usage=THOUSAND))
    keys: dict[str, Any] = {"aws_access_key": "none", "aws_secret_key": "none", "aws_region": "us-east-1"}
    with AnthropicBedrock(base_url=provider.url, **keys) as client:
        for _ in range(2):
            client.messages.create(model=SONNET, max_tokens=200, messages=MESSAGES)

    assert provider.billed == [SONNET, HAIKU]
    assert [span["attributes"]["gen_ai.request.model"] for span in traced.spans()] == [SONNET, HAIKU]


def test_the_sdks_own_retries_go_on_for_each_of_the_two_models(start: Start, provider: House) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=503), Plan(status=404), Plan(status=503), Plan(usage=THOUSAND))
    assert converse(provider)

    assert told(traced) == {"model": SONNET, "action": "warn", "attempts": 4, "cost": 4_950_000_000}


def test_a_throttled_request_is_the_applications(start: Start, provider: House) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=429), Plan(status=429))
    with pytest.raises(ClientError, match="ThrottlingException"):
        converse(provider)

    assert (provider.requests, told(traced)["model"]) == (2, HAIKU)


def test_what_is_dropped_from_converse_is_left_out_for_the_model_that_stands_in_alone(
    start: Start, provider: House
) -> None:
    start(DEGRADE + 'drop = ["temperature", "top_k"]\n')
    asked = {
        **CONVERSE,
        "inferenceConfig": {"temperature": 0.5, "maxTokens": 9},
        "additionalModelRequestFields": {"top_k": 3, "anthropic_beta": []},
    }
    before = copy.deepcopy(asked)
    sent = _sent(provider)
    provider.plan(Plan(status=404))
    provider.client.converse(**asked)

    messages = CONVERSE["messages"]
    assert sent == [
        (
            HAIKU,
            {
                "messages": messages,
                "inferenceConfig": {"maxTokens": 9},
                "additionalModelRequestFields": {"anthropic_beta": []},
            },
        ),
        (
            SONNET,
            {
                "messages": messages,
                "inferenceConfig": {"temperature": 0.5, "maxTokens": 9},
                "additionalModelRequestFields": {"top_k": 3, "anthropic_beta": []},
            },
        ),
    ]
    assert asked == before


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        ("tools", {}),
        ("tool_choice", {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]}}),
    ],
)
def test_tools_that_are_dropped_go_with_the_place_that_has_to_have_some(
    drop: str, left: dict[str, Any], start: Start, provider: House
) -> None:
    start(DEGRADE + f'drop = ["{drop}"]\n')
    sent = _sent(provider)
    spec = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}
    provider.client.converse(**CONVERSE, toolConfig={"tools": [spec], "toolChoice": {"auto": {}}})

    assert sent == [(HAIKU, {"messages": CONVERSE["messages"], **left})]


@pytest.mark.parametrize(
    "kind", [str, str.encode, lambda text: bytearray(text.encode())], ids=["text", "bytes", "array"]
)
def test_what_is_dropped_from_a_body_is_left_out_for_the_model_that_stands_in_alone(
    kind: Callable[[str], Any], start: Start, provider: House
) -> None:
    start(DEGRADE + 'drop = ["temperature"]\n')
    written = json.dumps({**CLAUDE_BODY, "temperature": 0.5})
    sent = _sent(provider)
    provider.plan(Plan(status=404))
    provider.client.invoke_model(modelId=SONNET, body=kind(written))["body"].read()

    assert sent == [(HAIKU, CLAUDE_BODY), (SONNET, {**CLAUDE_BODY, "temperature": 0.5})]


@pytest.mark.parametrize(
    ("to", "way", "asked", "because"),
    [
        (HAIKU, converse, {"additionalModelRequestFields": {"top_n": 3}}, f"{HAIKU} is not known to take top_n"),
        (
            HAIKU,
            converse,
            {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}},
            f"{HAIKU} is not known to take guardrail_config",
        ),
        (HAIKU, invoke, {"anthropic_beta": ["a"]}, f"{HAIKU} is not known to take anthropic_beta"),
        (
            HAIKU,
            converse,
            {"inferenceConfig": {"maxTokens": 64_001}},
            f"{HAIKU} writes at most 64,000 tokens, and 64,001 may be written",
        ),
        (NOVA, converse, {}, f"nothing is known of what {NOVA} takes (say it: supports)"),
    ],
    ids=["family", "guardrail", "beta", "size", "nothing known"],
)
def test_a_request_is_left_alone_that_the_other_model_may_not_take(
    to: str, way: Ask, asked: dict[str, Any], because: str, start: Start, provider: House
) -> None:
    traced = start(degrading(SONNET, to))
    assert way(provider, **asked)

    assert (provider.billed, why(traced)) == ([SONNET], because)


OWN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"


@pytest.mark.parametrize(
    ("model", "to", "asked", "because"),
    [
        (OWN, HAIKU, {}, f"{OWN} is somebody's own, and what is behind it is not known"),
        ("hotels", HAIKU, {}, "hotels is somebody's own, and what is behind it is not known"),
        (SONNET, NOVA, _invoked(), f"its body is Anthropic's, and {NOVA} is not"),
        (
            "meta.llama3-8b-instruct-v1:0",
            NOVA,
            {"body": '{"prompt": "Where?"}'},
            "its body is not read, or as one family of models has it",
        ),
        (
            SONNET,
            HAIKU,
            {"body": io.BytesIO(json.dumps(CLAUDE_BODY).encode())},
            "its body is not read, or as one family of models has it",
        ),
    ],
    ids=["profile", "throughput", "another family", "own format", "file"],
)
def test_what_can_not_ask_for_another_model_is_left_alone(
    model: str, to: str, asked: dict[str, Any], because: str, start: Start, provider: House
) -> None:
    traced = start(degrading(model, to, of=UNPRICED) + 'supports = ["text", "max_tokens"]\n')
    if asked:
        provider.client.invoke_model(**{**asked, "modelId": model})["body"].read()
    else:
        provider.client.converse(**{**CONVERSE, "modelId": model})

    assert (provider.billed, why(traced)) == ([model], because)


def test_a_model_of_another_family_stands_in_where_the_policy_says_that_it_takes_it(
    start: Start, provider: House
) -> None:
    traced = start(degrading(SONNET, NOVA) + 'supports = ["text"]\n')
    provider.plan(Plan(usage=THOUSAND))
    assert converse(provider)

    # 1,000 at $0.06 and 100 at $0.24 a million: $0.000084
    assert provider.billed == [NOVA]
    assert told(traced) == {
        "model": NOVA,
        "for": SONNET,
        "action": "degrade",
        "attempts": 1,
        "cost": 84_000_000,
        "avoided": 4_866_000_000,
    }


def _long(mark: bool) -> list[dict[str, Any]]:
    point: list[dict[str, Any]] = [{"cachePoint": {"type": "default"}}] if mark else []
    return [
        {"role": "user", "content": [{"text": "x" * 40_000}, *point]},
        {"role": "assistant", "content": [{"text": "In Paris."}]},
        {"role": "user", "content": [{"text": "And then?"}]},
    ]


def test_an_exception_of_the_applications_own_stays_as_it_is(start: Start, provider: House) -> None:
    class Odd(Exception):
        @property
        def response(self) -> object:
            raise ZeroDivisionError("injected")

    def hook(**_: object) -> None:
        raise Odd

    start(DEGRADE, faultless=False)
    events = provider.client.meta.events
    events.register("before-call.bedrock-runtime", hook, unique_id="odd")
    try:
        with pytest.raises(Odd):
            converse(provider)
    finally:
        events.unregister("before-call.bedrock-runtime", unique_id="odd")

    assert provider.requests == 0


@pytest.mark.parametrize(("mark", "answers"), [(True, SONNET), (False, HAIKU)])
def test_in_the_middle_of_a_session_the_model_changes_only_where_that_pays(
    mark: bool, answers: str, start: Start, provider: House
) -> None:
    """What is marked costs a tenth at the model that has it cached, and is written anew at the other."""
    traced = start(DEGRADE)
    assert converse(provider, messages=_long(mark))

    assert (provider.billed, _is_mid_session(traced)) == ([answers], mark)


def _is_mid_session(traced: Traced) -> bool:
    return why(traced).startswith("in the middle of a session: with ")


@pytest.mark.parametrize("way", [converse_stream, invoke], ids=lambda way: way.__name__)
def test_a_route_sends_requests_to_the_model_that_it_names(way: Ask, start: Start, provider: House) -> None:
    traced = start(
        f"""
        [[route]]
        name = "short questions"
        max_input_tokens = 4000
        to = {{ "*claude-sonnet-4-5*" = "{HAIKU}" }}
        mode = "percentage"
        percent = 100
        """
    )
    provider.plan(Plan(usage=THOUSAND))
    assert way(provider)

    assert told(traced) == {
        "model": HAIKU,
        "for": SONNET,
        "action": "allow",
        "attempts": 1,
        "cost": 1_650_000_000,
        "avoided": 3_300_000_000,
    }
