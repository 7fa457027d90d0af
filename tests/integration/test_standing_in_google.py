"""Another model stands in for the one that a request of the real google-genai SDK names, or doesn't, and why."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.genai import Client, errors, types
from google.oauth2.credentials import Credentials

import spanledger
from canned_server import CannedServer
from guarded import accounts, gate
from spanledger.guard import turned_down
from spanledger.guard.gate import Gate
from spanledger.sdks import google_sdk
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from standing_in import House, Start, degrading, spent_and_held, starting, told, why
from waiting import wait_until

PRO, LITE = "gemini-2.5-pro", "gemini-2.5-flash-lite"
PROMPT: Any = "Where is the best hotel in Paris?"
THOUSAND = Usage(input_uncached_tokens=1000, output_text_tokens=100)
"""Of the one model 1,000 at $1.25 and 100 at $10 a million: $0.00225; of the other at $0.10 and $0.40: $0.00014."""
DEGRADE = degrading(PRO, LITE)
UNPRICED = degrading(PRO, LITE, of="tokens = 10_000")
Ask = Callable[..., object]


@pytest.fixture(scope="module")
def one_provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture(scope="module")
def one_client(one_provider: LocalProvider) -> Iterator[Client]:
    """A client for all tests, because it reads certificates for a tenth of a second, twice."""
    with _client(one_provider.url) as client:
        yield client


@pytest.fixture
def provider(one_provider: LocalProvider, one_client: Client) -> Iterator[House]:
    yield House(one_provider, one_client)
    one_provider.forget_plans()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    with starting(monkeypatch, tmp_path) as start:
        yield start


def _client(url: str) -> Client:
    return Client(api_key="none", http_options=types.HttpOptions(base_url=url, api_version="v1beta"))


def whole(house: House, **asked: Any) -> object:
    return house.client.models.generate_content(**asked).text


def streamed(house: House, **asked: Any) -> object:
    return [event.text for event in house.client.models.generate_content_stream(**asked)]


def whole_async(house: House, **asked: Any) -> object:
    async def ask() -> object:
        async with _client(house.url).aio as client:
            return (await client.models.generate_content(**asked)).text

    return asyncio.run(ask())


def streamed_async(house: House, **asked: Any) -> object:
    async def ask() -> object:
        async with _client(house.url).aio as client:
            return [event.text async for event in await client.models.generate_content_stream(**asked)]

    return asyncio.run(ask())


WAYS: list[Ask] = [whole, streamed, whole_async, streamed_async]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


def _ask(way: Ask, house: House, contents: Any = PROMPT, **config: Any) -> object:
    return way(house, model=PRO, contents=contents, config=types.GenerateContentConfig(**config))


@each_way
def test_a_budget_that_degrades_has_the_cheaper_model_answer(way: Ask, start: Start, provider: House) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(usage=THOUSAND))
    assert _ask(way, provider)

    assert provider.billed == [LITE]
    assert told(traced) == {
        "model": LITE,
        "for": PRO,
        "action": "degrade",
        "attempts": 1,
        "cost": 140_000_000,
        "avoided": 2_110_000_000,
    }
    assert spent_and_held() == [(140_000, 0)]


@pytest.mark.parametrize(
    ("way", "status"), [*((way, 404) for way in WAYS), (whole, 400), (streamed, 422)], ids=lambda one: str(one)[:16]
)
def test_a_provider_that_refuses_the_model_that_stands_in_is_asked_for_the_other(
    way: Ask, status: int, start: Start, provider: House
) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=status), Plan(usage=THOUSAND))
    assert _ask(way, provider)

    assert (provider.requests, provider.billed) == (2, [PRO])
    assert told(traced) == {"model": PRO, "action": "warn", "attempts": 2, "cost": 2_250_000_000}
    assert why(traced) == "the provider refused the request for it"
    assert spent_and_held() == [(2_250_000, 0)]


@each_way
def test_what_is_wrong_with_both_is_the_error_of_the_one_that_was_named(
    way: Ask, start: Start, provider: House
) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=404), Plan(status=400))
    with pytest.raises(errors.ClientError) as refused:
        _ask(way, provider)

    assert (refused.value.code, refused.value.__context__, provider.requests) == (400, None, 2)
    assert told(traced) == {
        "model": PRO,
        "action": "warn",
        "attempts": 2,
        "error": "google.genai.errors.ClientError",
    }
    assert spent_and_held() == [(0, 0)]


@pytest.mark.parametrize("way", [whole, streamed])
def test_other_errors_of_the_model_that_stands_in_are_the_applications(way: Ask, start: Start, provider: House) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=429))
    with pytest.raises(errors.ClientError) as refused:
        _ask(way, provider)

    assert (refused.value.code, provider.requests, told(traced)["model"]) == (429, 1, LITE)


@each_way
def test_the_sdks_own_retries_go_on_for_each_of_the_two_models(way: Ask, start: Start, provider: House) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(status=429), Plan(status=404), Plan(status=429), Plan(usage=THOUSAND))
    retries = types.HttpRetryOptions(attempts=3, initial_delay=0.001, max_delay=0.002, jitter=0.001)
    assert _ask(way, provider, http_options=types.HttpOptions(retry_options=retries))

    assert told(traced) == {"model": PRO, "action": "warn", "attempts": 4, "cost": 2_250_000_000}


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_dropped_is_left_out_for_the_model_that_stands_in_alone(stream: bool, start: Start) -> None:
    traced = start(DEGRADE + 'drop = ["temperature", "top_k"]\n')
    config = types.GenerateContentConfig(temperature=0.5, top_k=3, max_output_tokens=9)
    answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "In Paris."}]}, "finishReason": "STOP"}]}
    verb, body = "generateContent", json.dumps(answer)
    if stream:
        verb, body = "streamGenerateContent", f"data: {body}\n\n"
    with CannedServer() as server, _client(server.url) as client:
        server.on("POST", f"/v1beta/models/{PRO}:{verb}", body)
        if stream:
            list(client.models.generate_content_stream(model=PRO, contents=PROMPT, config=config))
        else:
            client.models.generate_content(model=PRO, contents=PROMPT, config=config)
        asked = {path.partition("models/")[2].partition(":")[0]: body for _, path, body in server.seen}

    contents = [{"role": "user", "parts": [{"text": PROMPT}]}]
    assert asked == {
        LITE: {"contents": contents, "generationConfig": {"maxOutputTokens": 9}},
        PRO: {"contents": contents, "generationConfig": {"temperature": 0.5, "topK": 3, "maxOutputTokens": 9}},
    }
    assert (config.temperature, config.top_k) == (0.5, 3)
    assert why(traced) == "the provider refused the request for it"


LONG = [
    types.Content(role="user", parts=[types.Part(text="x" * 40_000)]),
    types.Content(role="model", parts=[types.Part(text="In Paris.")]),
    types.Content(role="user", parts=[types.Part(text="And then?")]),
]


@pytest.mark.parametrize(
    ("asked", "more", "because"),
    [
        ({"top_k": 3}, "", f"{LITE} is not known to take top_k"),
        ({"top_k": 3, "seed": 1}, 'drop = ["seed"]', f"{LITE} is not known to take top_k"),
        ({"max_output_tokens": 65_536}, "", f"{LITE} writes at most 65,535 tokens, and 65,536 may be written"),
        ({"cached_content": "cachedContents/1"}, "", f"{LITE} is not known to take cached_content"),
        (
            {"cached_content": "cachedContents/1"},
            'supports = ["cached_content"]',
            "its cached content belongs to the model that it was made for",
        ),
        (
            {"http_options": {"extra_body": {"generationConfig": {"topK": 4}}}},
            "",
            "the SDK adds to its body later (extra_body)",
        ),
    ],
    ids=str,
)
def test_a_request_is_left_alone_that_the_other_model_may_not_take(
    start: Start, provider: House, asked: dict[str, Any], more: str, because: str
) -> None:
    traced = start(f"{DEGRADE}{more}\n")
    assert _ask(whole, provider, **asked)

    assert (provider.billed, why(traced)) == ([PRO], because)


def test_in_the_middle_of_a_session_the_model_changes_only_where_that_pays(start: Start, provider: House) -> None:
    """What was sent before costs a tenth at the model that has it cached, and all of it at any other."""
    traced = start(DEGRADE.replace(LITE, "gemini-3.5-flash").replace(PRO, "gemini-3.8-flash"))
    provider.client.models.generate_content(model="gemini-3.8-flash", contents=LONG)

    assert provider.billed == ["gemini-3.8-flash"]
    assert why(traced).startswith("in the middle of a session: with ")


def test_a_session_goes_on_at_the_model_that_stands_in_with_what_that_one_thought(
    start: Start, provider: House
) -> None:
    traced = start(DEGRADE)
    thought = types.Part(text="In Paris.", thought_signature=b"sealed")
    history = [
        types.Content(role="user", parts=[types.Part(text=PROMPT)]),
        types.Content(role="model", parts=[thought]),
        types.Content(role="user", parts=[types.Part(text="And then?")]),
    ]
    _ask(whole, provider, history)
    with spanledger.tags(session_id="s1"):
        _ask(whole, provider)
        _ask(whole, provider, history)

    assert provider.billed == [PRO, LITE, LITE]
    (first, *_) = [json.loads(span["attributes"]["spanledger.guard.decisions"]) for span in traced.spans()]
    assert f"degrade skipped: {LITE} is not known to take thinking of earlier turns" in first[0]["sentence"]


def test_a_session_stays_where_it_is_when_something_is_embedded_in_it(start: Start, provider: House) -> None:
    start(DEGRADE)
    thought = types.Part(text="In Paris.", thought_signature=b"sealed")
    history = [
        types.Content(role="user", parts=[types.Part(text=PROMPT)]),
        types.Content(role="model", parts=[thought]),
    ]
    with spanledger.tags(session_id="s1"):
        _ask(whole, provider)
        provider.client.models.embed_content(model="gemini-embedding-001", contents=PROMPT)
        _ask(whole, provider, [*history, types.Content(role="user", parts=[types.Part(text="And then?")])])

    assert provider.billed == [LITE, "gemini-embedding-001", LITE]


def test_a_level_of_thinking_is_read_as_the_sdk_gives_it(start: Start, provider: House) -> None:
    start(degrading("gemini-3.8-flash", "gemini-3.5-flash-lite"))
    thinking = types.ThinkingConfig(thinking_level=types.ThinkingLevel.HIGH)
    config = types.GenerateContentConfig(thinking_config=thinking)
    provider.client.models.generate_content(model="gemini-3.8-flash", contents=PROMPT, config=config)

    assert provider.billed == ["gemini-3.5-flash-lite"]


@pytest.mark.parametrize(("to", "answers"), [(LITE, "gemini-3.8-flash"), ("gemini-3.5-flash-lite",) * 2])
def test_where_functions_are_called_only_what_signs_its_calls_stands_in_for_what_wants_that(
    to: str, answers: str, start: Start, provider: House
) -> None:
    traced = start(degrading("gemini-3.8-flash", to))
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="find")])
    provider.client.models.generate_content(
        model="gemini-3.8-flash", contents=PROMPT, config=types.GenerateContentConfig(tools=[tool])
    )

    assert provider.billed == [answers]
    assert why(traced) == ("" if to == answers else f"{LITE} is not known to take signed function calls")


def test_a_model_that_draws_is_not_routed_to_one_that_writes(start: Start, provider: House) -> None:
    start(f"""
        [[route]]
        name = "all"
        to = {{ "gcp.gemini" = "{LITE}" }}
        mode = "percentage"
        percent = 100
        """)
    provider.client.models.generate_content(model="gemini-2.5-flash-image", contents="Draw a cat.")

    assert provider.billed == ["gemini-2.5-flash-image"]


def test_a_model_that_is_taken_back_is_no_storm_of_retries(
    monkeypatch: pytest.MonkeyPatch, start: Start, provider: House
) -> None:
    """We asked twice, not the application."""
    monkeypatch.setattr(turned_down, "MOST", 99)
    start(DEGRADE + '[[breaker]]\nname = "storms"\nretry_share = "40%"\nretry_calls = 5\n')
    provider.plan(*[Plan(status=404), Plan()] * 6)
    for _ in range(6):
        _ask(whole, provider)

    assert (provider.requests, provider.billed) == (12, [PRO] * 6)


class Unheard(httpx.HTTPTransport):
    """Has nobody wait for the answers of one of the models."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if f"/{PRO}:" in request.url.path:
            response.close()
            raise httpx.ReadTimeout("timed out", request=request)
        return response


def test_an_answer_that_never_came_is_charged_as_the_model_that_was_asked_last(start: Start, provider: House) -> None:
    start(DEGRADE)
    provider.plan(Plan(status=404), Plan())
    options = types.HttpOptions(base_url=provider.url, api_version="v1beta", client_args={"transport": Unheard()})
    with Client(api_key="none", http_options=options) as client, pytest.raises(httpx.ReadTimeout):
        client.models.generate_content(
            model=PRO, contents=PROMPT, config=types.GenerateContentConfig(max_output_tokens=500)
        )

    assert (provider.requests, provider.billed) == (2, [PRO])
    assert spent_and_held() == [(10 * 1_250 + 500 * 10_000, 0)]  # nano-dollars: tokens in and out


@pytest.mark.parametrize("model", [PRO, f"projects/hotel/locations/europe-west1/publishers/google/models/{PRO}"])
def test_vertex_ai_is_asked_for_the_other_model_of_the_same_publisher(
    model: str, start: Start, provider: House
) -> None:
    traced = start(DEGRADE)
    provider.plan(Plan(usage=THOUSAND))
    with Client(
        vertexai=True,
        project="hotel",
        location="europe-west1",
        credentials=Credentials(token="none"),  # type: ignore[no-untyped-call]
        http_options=types.HttpOptions(base_url=provider.url),
    ) as client:
        client.models.generate_content(model=model, contents=PROMPT)

    (path,) = provider.endpoints
    assert path.rpartition("locations/")[2] == f"europe-west1/publishers/google/models/{LITE}:generateContent"
    found = told(traced)
    assert (found["model"], found["for"]) == (LITE, PRO)


@pytest.mark.parametrize(
    ("vertexai", "model", "path"),
    [
        (False, "tunedModels/hotels", "tunedModels/hotels"),
        (True, "projects/p/locations/l/endpoints/1", "projects/p/locations/l/endpoints/1"),
        (True, "projects/p/locations/l/models/1", "projects/p/locations/l/models/1"),
        (True, "meta/llama-4", "projects/p/locations/l/publishers/meta/models/llama-4"),
    ],
)
def test_what_is_no_model_of_googles_by_name_is_left_alone(vertexai: bool, model: str, path: str, start: Start) -> None:
    named = "llama-4" if "llama" in model else model
    traced = start(UNPRICED.replace(PRO, named) + 'supports = ["text"]\n')
    version = "v1beta1" if vertexai else "v1beta"
    account: dict[str, Any] = {"project": "p", "location": "l"} if vertexai else {"api_key": "none"}
    with CannedServer() as server:
        server.on("POST", f"/{version}/{path}:generateContent", {"candidates": []})
        credentials: Any = Credentials(token="none") if vertexai else None  # type: ignore[no-untyped-call]
        options = types.HttpOptions(base_url=server.url, api_version=version)
        with Client(vertexai=vertexai, credentials=credentials, http_options=options, **account) as client:
            client.models.generate_content(model=model, contents=PROMPT)

    seen = path if not path.startswith("projects/p/locations/l/pub") else path.removeprefix("projects/p/locations/l/")
    assert why(traced) == f"{seen} is not the plain name of one of Google's models"


def test_embeddings_are_left_alone_as_vectors_of_two_models_can_not_be_compared(start: Start, provider: House) -> None:
    traced = start(UNPRICED.replace(PRO, "gemini-embedding-001") + 'supports = ["text"]\n')
    provider.client.models.embed_content(model="gemini-embedding-001", contents=PROMPT)

    assert why(traced) == "another model can't stand in for batchEmbedContents"


@pytest.mark.parametrize("way", [whole, streamed_async])
def test_a_route_sends_requests_to_the_model_that_it_names(way: Ask, start: Start, provider: House) -> None:
    traced = start(
        f"""
        [[route]]
        name = "short questions"
        max_input_tokens = 4000
        max_turn = 1
        to = {{ "gcp.gemini" = "{LITE}" }}
        mode = "percentage"
        percent = 100
        """
    )
    provider.plan(Plan(usage=THOUSAND))
    assert _ask(way, provider, max_output_tokens=500)

    assert told(traced) == {
        "model": LITE,
        "for": PRO,
        "action": "allow",
        "attempts": 1,
        "cost": 140_000_000,
        "avoided": 2_110_000_000,
    }
    attributes = traced.span()["attributes"]
    assert (attributes["spanledger.route.rule"], attributes["spanledger.route.arm"]) == ("short questions", "routed")


def test_a_budget_holds_what_the_cheaper_model_will_cost(start: Start, provider: House) -> None:
    start(DEGRADE)
    events: Any = provider.client.models.generate_content_stream(
        model=PRO, contents=PROMPT, config=types.GenerateContentConfig(max_output_tokens=500)
    )
    next(events)
    held = [one.held for one in accounts()]
    events.close()

    assert held == [10 * 100 + 500 * 400]  # nano-dollars: tokens in and out


@pytest.mark.parametrize("taken_back", [False, True])
def test_what_is_held_and_counted_is_the_same_once_a_model_is_taken_back(
    taken_back: bool, start: Start, provider: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = time.time_ns()
    monkeypatch.setattr(Gate, "now_ns", lambda _: now_ns)  # as all is to be in one minute
    limit = '[[limit]]\nname = "calls"\nrequests_per_minute = 60\ntokens_per_minute = 60_000\nconcurrent = 8\n'
    start((DEGRADE if taken_back else DEGRADE.replace('"0.1%"', '"90%"')) + limit)
    provider.plan(*[Plan(status=404)] * taken_back, Plan(usage=THOUSAND))
    events: Any = provider.client.models.generate_content_stream(
        model=PRO, contents=PROMPT, config=types.GenerateContentConfig(max_output_tokens=500)
    )
    next(events)
    during, _ = _counted(), list(events)
    wait_until(lambda: not gate().live, what="settling of the call")

    assert during == [(0, 10 * 1_250 + 500 * 10_000), (1, 0), (0, 1), (10 + 500, 0)]
    assert _counted() == [(2_250_000, 0), (1, 0), (0, 0), (1_100, 0)]


def _counted() -> list[tuple[int, int]]:
    """Spent and held: nano-dollars, calls, calls at the same time, tokens."""
    return [(one.spent, one.held) for one in accounts()]


def test_a_call_is_still_held_whose_model_is_taken_back_for_one_without_a_price(start: Start, provider: House) -> None:
    start(f"""
        [[budget]]
        name = "all"
        per = "day"
        usd = "0.1"
        unknown_price = "deny"

        [[route]]
        name = "all"
        to = {{ "gcp.gemini" = "{LITE}" }}
        mode = "percentage"
        percent = 100
        """)
    provider.plan(Plan(status=404), Plan(usage=THOUSAND))
    events: Any = provider.client.models.generate_content_stream(
        model="gemini-unheard-of", contents=PROMPT, config=types.GenerateContentConfig(max_output_tokens=500)
    )
    next(events)
    during, _ = _counted(), list(events)

    assert (during, spent_and_held()) == ([(0, 10 * 100 + 500 * 400)], [(0, 0)])


@pytest.mark.parametrize("name", ["why_fixed", "body_instead"])
def test_a_fault_of_ours_leaves_the_request_as_it_is_and_the_budget_in_force(
    name: str, monkeypatch: pytest.MonkeyPatch, start: Start, provider: House
) -> None:
    def broken(*_anything: object, **_more: object) -> Any:
        raise ZeroDivisionError("injected")

    traced = start(DEGRADE, faultless=False)
    monkeypatch.setattr(google_sdk, name, broken)
    provider.plan(Plan(usage=THOUSAND))
    assert _ask(whole, provider)

    assert (provider.billed, told(traced)["model"]) == ([PRO], PRO)
    assert spent_and_held() == [(2_250_000, 0)]
