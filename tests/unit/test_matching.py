"""Which names a rule of the price book means."""

from __future__ import annotations

import pytest

from spanledger.matching import Rule, matches
from spanledger.pricing import price
from spanledger.usage import Usage


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"starts_with": "claude-sonnet-4-5"}, "claude-sonnet-4-5"),
        ({"starts_with": "claude-sonnet-4-5"}, "claude-sonnet-4-5-20250929"),
        ({"starts_with": "claude-sonnet-4-5"}, "claude-sonnet-4-5@20250929"),
        ({"starts_with": "claude-sonnet-4-5"}, "claude-sonnet-4-5-latest"),
        ({"starts_with": "claude-sonnet-4-2025"}, "claude-sonnet-4-20250514"),
        ({"starts_with": "claude-sonnet-4@"}, "claude-sonnet-4@20250514"),
        ({"starts_with": "gemini-2.5-pro"}, "gemini-2.5-pro-preview-05-06"),
        ({"starts_with": "gemini-2.5-flash"}, "gemini-2.5-flash-preview-09-2025"),
        ({"starts_with": "gemini-1.5-pro"}, "gemini-1.5-pro-002"),
        ({"contains": "gemini-2.0-flash-0"}, "gemini-2.0-flash-001"),
        ({"starts_with": "mistral-large"}, "mistral-large-2411"),
        ({"starts_with": "gpt-5-nano-"}, "gpt-5-nano-2025-08-07"),
        ({"contains": "claude-3-5-sonnet"}, "claude-3-5-sonnet-v2@20241022"),
        ({"contains": "claude-3-haiku-20240307"}, "us.anthropic.claude-3-haiku-20240307-v1:0"),
        (
            {"contains": "amazon.nova-pro"},
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
        ),
        ({"contains": "claude-3-sonnet"}, "anthropic.claude-3-sonnet-20240229-v1:0:200k"),
        ({"starts_with": "ft:gpt-4o-2024-"}, "ft:gpt-4o-2024-08-06:acme::abc123"),
        ({"all": [{"starts_with": "m2"}, {"ends_with": "-fast"}]}, "m2-anything-fast"),
    ],
)
def test_dates_versions_and_places_leave_a_name_what_it_is(rule: Rule, name: str) -> None:
    assert matches(rule, name)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"starts_with": "claude-sonnet-4-5"}, "claude-sonnet-4-5-foo"),
        ({"starts_with": "claude-sonnet-4-5"}, "claude-sonnet-4-55"),
        ({"starts_with": "gemini-2.5-pro"}, "gemini-2.5-pro-preview-99"),
        ({"contains": "gemini-1.5-flash"}, "gemini-1.5-flash-8b"),
        ({"contains": "o4-mini"}, "my-o4-mini"),
        ({"ends_with": "claude-opus-5"}, "my-claude-opus-5"),
        ({"starts_with": "deepseek-r1"}, "deepseek-r1-distill-llama-8b"),
        ({"contains": "amazon.nova-pro"}, "arn:aws:bedrock:us-east-1:1:application-inference-profile/ab12cd"),
        ({"all": [{"starts_with": "gemini-2.5-pro"}, {"regex": "^(?!.*tts)"}]}, "gemini-2.5-pro-preview-tts"),
        ({"all": [{"starts_with": "gemini-2.5-pro"}, {"regex": "^(?!.*tts)"}]}, "gemini-2.5-pro-computer-use"),
    ],
)
def test_anything_else_at_either_end_makes_another_model(rule: Rule, name: str) -> None:
    assert not matches(rule, name)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("anthropic", "claude-sonnet-4-5-foo"), ("google", "gemini-2.5-pro-preview-99"), ("azure", "my-o4-mini")],
)
def test_a_model_like_a_known_one_is_unknown_and_not_priced_as_that(provider: str, model: str) -> None:
    assert price(provider, model, Usage(1), 0).unpriced_reason == "unknown_model"
