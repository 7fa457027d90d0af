"""`spanledger price`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from spanledger_cli import cli

TURBO = '{"input_tokens": 5000, "output_tokens": 600}'
AT = "2026-11-22T12:00:00Z"
PAGE = "https://developers.openai.com/api/docs/pricing"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["price", *arguments], input=stdin)


def test_one_call_is_priced_and_explained() -> None:
    result = run("openai", "gpt-4-turbo", "--usage", TURBO, "--at", AT)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "provider": "openai",
        "model": "gpt-4-turbo",
        "at": AT,
        "cost_usd": "0.068",
        "cost_input": "0.05",
        "cost_cache_read": "0",
        "cost_cache_write": "0",
        "cost_output": "0.018",
        "cost_other": "0",
        "charges": [
            {
                "meter": "input_uncached_tokens",
                "quantity": 5000,
                "unit_price_usd": "0.00001",
                "amount_usd": "0.05",
                "source": PAGE,
            },
            {
                "meter": "output_text_tokens",
                "quantity": 600,
                "unit_price_usd": "0.00003",
                "amount_usd": "0.018",
                "source": PAGE,
            },
        ],
        "price_id": "base:openai/gpt-4-turbo",
        "matched_model": "gpt-4-turbo",
        "cost_source": "list",
        "source": PAGE,
        "unpriced_reason": None,
        "multipliers": [],
    }


@pytest.mark.parametrize(
    ("usage", "context", "cost"),
    [
        ('{"input_tokens": 1000, "cache_read_tokens": 400}', None, "0.0032"),
        ('{"input_uncached_tokens": 600, "cache_read_tokens": 400}', None, "0.0032"),
        ('{"input_tokens": 1000, "input_uncached_tokens": 600, "cache_read_tokens": 400}', None, "0.0032"),
        ('{"input_tokens": 1e3, "output_tokens": null}', None, "0.005"),
        ('{"output_tokens": 1000, "reasoning_tokens": 900}', None, "0.025"),
        ('{"input_tokens": 0, "web_searches": 3}', None, "0.03"),
        ('{"units": {"web_searches": "3"}}', None, "0.03"),
        ('{"input_tokens": 1000}', '{"processing": "batch"}', "0.0025"),
        ('{"input_tokens": 1000}', '{"speed": "fast", "region": null}', "0.01"),
    ],
)
def test_usage_comes_as_totals_or_as_parts(usage: str, context: str | None, cost: str) -> None:
    """Claude Opus 5 at $5 in, $0.50 cache read, $25 out a million, $10 a 1,000 searches; batch half, fast double."""
    options = ["--context", context] if context else []

    result = run("anthropic", "claude-opus-5", "--usage", usage, "--at", AT, *options)

    assert (json.loads(result.stdout)["cost_usd"], result.exit_code) == (cost, 0)


@pytest.mark.parametrize(
    ("model", "usage", "reason"),
    [
        ("nothing-like-it", TURBO, "unknown_model"),
        ("gpt-4o", "{}", "no_usage"),
        ("gpt-4o", '{"input_tokens": 10, "cache_read_tokens": 11}', "inconsistent"),
        ("gpt-4o", '{"input_tokens": 10, "input_uncached_tokens": 5}', "inconsistent"),
        ("gpt-4o", '{"input_tokens": -1}', "inconsistent"),
        ("gpt-4o", '{"moon_landings": 1}', "no_price"),
    ],
)
def test_an_unpriced_call_has_a_reason_and_exit_code_3(model: str, usage: str, reason: str) -> None:
    result = run("openai", model, "--usage", usage)

    answer = json.loads(result.stdout)
    assert (answer["cost_usd"], answer["unpriced_reason"], answer["charges"]) == (None, reason, [])
    assert result.exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["openai"], "give PROVIDER MODEL --usage JSON"),
        (["openai", "gpt-4o"], "give PROVIDER MODEL --usage JSON"),
        (["-", "gpt-4o"], "with - everything comes from stdin"),
        (["openai", "gpt-4o", "--usage", "{"], "--usage is not valid JSON"),
        (["openai", "gpt-4o", "--usage", "[]"], "usage must be a JSON object"),
        (["openai", "gpt-4o", "--usage", '{"input_tokens": 1.5}'], "input_tokens must be a whole number"),
        (["openai", "gpt-4o", "--usage", '{"input_tokens": true}'], "input_tokens must be a number"),
        (["openai", "gpt-4o", "--usage", '{"input_tokens": NaN}'], "NaN is not a number"),
        (["openai", "gpt-4o", "--usage", '{"input_tokens": 1e999}'], "must be a whole number"),
        (["openai", "gpt-4o", "--usage", '{"pages": "many"}'], "pages must be a number"),
        (["openai", "gpt-4o", "--usage", TURBO, "--at", "yesterday"], "is not RFC 3339"),
        (["openai", "gpt-4o", "--usage", TURBO, "--at", "2026-11-22T12:00:00"], "is not RFC 3339"),
        (["openai", "gpt-4o", "--usage", TURBO, "--context", '{"mood": "good"}'], "unknown key mood"),
        (["openai", "gpt-4o", "--usage", TURBO, "--context", '{"speed": 1}'], "speed must be text"),
    ],
)
def test_unreadable_input_is_a_sentence_and_exit_code_2(arguments: list[str], sentence: str) -> None:
    result = run(*arguments)

    assert sentence in result.stderr
    assert (result.exit_code, result.stdout) == (2, "")


def test_lines_are_answered_in_order() -> None:
    questions = [
        {"provider": "openai", "model": "gpt-4-turbo", "usage": json.loads(TURBO)},
        {"provider": "openai", "model": "nothing-like-it", "usage": {"input_tokens": 1}, "at": None},
        {
            "provider": "openai",
            "model": "gpt-5.6-sol",
            "usage": {"input_tokens": 1000},
            "at": "2026-08-20T23:59:59+00:00",
            "context": {"service_tier": "flex"},
        },
    ]

    result = run("-", stdin="\n".join(json.dumps(question) for question in questions) + "\n\n")

    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["model"], answer["cost_usd"], answer["unpriced_reason"]) for answer in answers] == [
        ("gpt-4-turbo", "0.068", None),
        ("nothing-like-it", None, "unknown_model"),
        ("gpt-5.6-sol", "0.0025", None),
    ]
    assert (result.exit_code, result.stderr) == (0, "")


def test_an_unreadable_line_is_answered_too_and_fails_the_run() -> None:
    good = json.dumps({"provider": "openai", "model": "gpt-4-turbo", "usage": json.loads(TURBO)})
    bad = ["not json", "[1]", '{"provider": "openai", "model": "gpt-4o"}', '{"modell": 1}']

    result = run("-", stdin="\n".join([good, *bad, good]))

    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("cost_usd", answer.get("line")) for answer in answers] == ["0.068", 2, 3, 4, 5, "0.068"]
    assert "line 2: the line is not valid JSON" in result.stderr
    assert "line 5: unknown key modell" in result.stderr
    assert result.exit_code == 1


def test_a_person_reads_what_was_charged_line_by_line_with_the_page_of_each_price() -> None:
    usage = '{"input_tokens": 5000, "cache_read_tokens": 1200, "output_tokens": 600, "code_interpreter_sessions": 2}'
    arguments = ("openai", "gpt-4.1", "--usage", usage, "--at", AT, "--context", '{"processing": "batch"}')

    result = run(*arguments, "--format", "table")

    assert result.stdout.splitlines() == [
        f"openai gpt-4.1 at {AT}",
        "  quantity  meter                      price             amount   source",
        f"  3,800     input_uncached_tokens      x $1 a million    $0.0038  {PAGE}",
        f"  1,200     cache_read_tokens          x $0.5 a million  $0.0006  {PAGE}",
        f"    600     output_text_tokens         x $4 a million    $0.0024  {PAGE}",
        "      2     code_interpreter_sessions  x $0.03 each      $0.06    https://pypi.org/project/litellm/1.79.3/",
        "            cost                                         $0.0668",
        "price    base:openai/gpt-4.1@2026-10-14+processing=batch (list)",
    ]


def test_a_factor_and_a_missing_price_are_told_to_a_person_too() -> None:
    batch = ("openai", "gpt-4-turbo", "--usage", TURBO, "--at", "2024-05-01T00:00:00Z")

    factored = run(*batch, "--context", '{"processing": "batch"}', "--format", "table").stdout.splitlines()
    unknown = run("openai", "nothing-like-it", "--usage", TURBO, "--at", AT, "--format", "table")

    assert factored[-1].startswith("factor   batch, x 0.5, is in these prices: https://")
    assert unknown.stdout.splitlines() == [f"openai nothing-like-it at {AT}", "no price: unknown_model"]
    assert unknown.exit_code == 3
    assert "give no model and no options" in run("-", "--format", "table").stderr
