"""Who shares answers: calls of one account, whichever way a client or a request says whose it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic.lib.bedrock import AnthropicBedrock
from anthropic.lib.vertex import AnthropicVertex

import spanledger
from answer_cache import KEEP_ALL, Cached, cached_by
from cached_ways import MESSAGE
from matrix_cases import HELLO
from spanledger.guard.cache.key import make_key, read_asked
from spanledger_cli.demo.provider import LocalProvider


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cached]:
    home = tmp_path_factory.mktemp("home")
    with (
        LocalProvider(seed=7) as provider,
        pytest.MonkeyPatch.context() as monkeypatch,
        cached_by(monkeypatch, home, provider, KEEP_ALL) as running,
    ):
        yield running


def _mine() -> str:
    return "mine"


def _theirs() -> str:
    return "theirs"


@pytest.mark.parametrize(
    "header",
    [
        *("Authorization", "api-key", "x-api-key", "x-goog-api-key", "Helicone-Auth", "x-tenant-key", "X-Access-Token"),
        *("Cookie", "X-Tenant-Id"),
    ],
)
def test_headers_of_a_request_or_a_client_that_say_whose_it_is_part_answers(header: str, cached: Cached) -> None:
    with cached.openai() as client, spanledger.tags(team_id=header):

        def of_request(value: str) -> int:
            return cached.chat(client, extra_headers={header: value})

        def of_client(value: str) -> int:
            return cached.chat(client.with_options(default_headers={header: value}))

        assert [of_request("a"), of_request("b"), of_request("a"), cached.chat(client)] == [1, 1, 0, 1]
        assert [of_client("c"), of_client("d"), of_client("c")] == [1, 1, 0]


def test_a_header_that_is_another_one_for_each_request_parts_nothing(cached: Cached) -> None:
    with cached.openai() as client, spanledger.tags(team_id="each"):
        assert [cached.chat(client, extra_headers={"Idempotency-Key": key}) for key in "ab"] == [1, 0]


def test_auth_tokens_of_anthropic_part_answers(cached: Cached) -> None:
    with spanledger.tags(team_id="auth token"):

        def ask(token: str) -> int:
            with anthropic.Anthropic(base_url=cached.provider.url, auth_token=token) as client:
                return cached.requests(lambda: client.messages.create(**MESSAGE))

        assert [ask("a"), ask("b"), ask("a")] == [1, 1, 0]


def test_a_key_that_is_asked_for_anew_parts_answers_by_who_is_asked(cached: Cached) -> None:
    with spanledger.tags(team_id="asked anew"):

        def ask(provider: Any) -> int:
            with openai.OpenAI(base_url=f"{cached.provider.url}/v1", api_key=provider) as client:
                return cached.chat(client.with_options(timeout=30))

        assert [ask(_mine), ask(_theirs), ask(_mine)] == [1, 1, 0]


def _azure(**told: Any) -> Any:
    return openai.AzureOpenAI(azure_endpoint="http://127.0.0.1:9", api_version="1", **told)


def _bedrock(**told: Any) -> Any:
    return AnthropicBedrock(**{"aws_region": "us-east-1", "base_url": "http://127.0.0.1:9", **told})


def _vertex(**told: Any) -> Any:
    return AnthropicVertex(**{"region": "us-east5", "project_id": "p", "base_url": "http://127.0.0.1", **told})


def _behind(**told: Any) -> Any:
    return openai.OpenAI(api_key="none", http_client=openai.DefaultHttpxClient(**told))


@pytest.mark.parametrize(
    ("make", "mine", "theirs"),
    [
        (_azure, {"azure_ad_token": "a"}, {"azure_ad_token": "b"}),
        (_azure, {"azure_ad_token_provider": _mine}, {"azure_ad_token_provider": _theirs}),
        (_bedrock, {"aws_access_key": "a"}, {"aws_access_key": "b"}),
        (_bedrock, {"aws_region": "us-east-1"}, {"aws_region": "eu-west-1"}),
        (_bedrock, {"aws_profile": "a"}, {"aws_profile": "b"}),
        (_vertex, {"access_token": "a"}, {"access_token": "b"}),
        (_vertex, {"project_id": "a"}, {"project_id": "b"}),
        (_vertex, {"region": "a"}, {"region": "b"}),
        (_vertex, {"credentials": _mine}, {"credentials": _theirs}),
        (_behind, {"headers": {"x-tenant-key": "a"}}, {"headers": {"x-tenant-key": "b"}}),
    ],
)
def test_clients_of_two_accounts_have_two_keys(
    make: Callable[..., Any], mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    first, again, other = (make(**told) for told in (mine, mine, theirs))
    assert _key(first) == _key(again)
    assert _key(first) != _key(other)


def _key(client: Any) -> bytes:
    from openai._models import FinalRequestOptions

    options = FinalRequestOptions.construct(method="post", url="/x", json_data={"messages": HELLO}, headers={})
    return make_key(b"secret", read_asked(client, options, "p", stream=False))
