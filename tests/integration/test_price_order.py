"""Which price counts where several are known: the provider's own word, the contract, the overlay, the base."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from otlp_bodies import Value, request, span
from own_base import write_half_turbo
from spanledger import contract
from spanledger.book import use_book
from spanledger_cli import cli

AT_NS = int(datetime(2024, 5, 20, 12, tzinfo=UTC).timestamp()) * 10**9
CONTRACT = (
    '[[price]]\nprovider = "PROVIDER"\nmodel = "MODEL"\nusd_per_million = { input_tokens = "1", output_tokens = "1" }\n'
)


def _priced(
    home: Path, model: str, provider: str = "openai", *, stated: bool = False, agreed: bool = False
) -> tuple[str, str, str | None]:
    """Return cost_usd, cost_source and price_id of a call with 5,000 and 600 tokens, as the collector books it."""
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 5000,
        "gen_ai.usage.output_tokens": 600,
    }
    if stated:
        attributes |= {"spanledger.cost.reported_pico_usd": 7 * 10**10, "spanledger.cost.source": "provider"}
    file = home / "body.pb"
    file.write_bytes(request(span(attributes, start_time_unix_nano=AT_NS, end_time_unix_nano=AT_NS)))
    (home / "contract.toml").write_text(
        CONTRACT.replace("MODEL", model).replace("PROVIDER", provider) if agreed else "# nothing\n", "utf-8"
    )
    try:
        shown = CliRunner(env={"SPANLEDGER_HOME": str(home)}).invoke(cli, ["inspect", str(file)])
    finally:
        contract.use(contract.NONE)
        use_book(None)
    row = json.loads(shown.stdout)
    return row["cost_usd"], row["cost_source"], row["price_id"]


def test_what_the_provider_says_that_it_charges_goes_before_your_contract(tmp_path: Path) -> None:
    found = [_priced(tmp_path, "grok-3", "x_ai", stated=stated, agreed=True) for stated in (True, False)]

    assert found == [
        ("0.070000000000", "provider", None),
        ("0.005600000000", "contract", "contract:x_ai/grok-3"),
    ]


def test_your_contract_goes_before_the_overlay_and_that_before_the_base(tmp_path: Path) -> None:
    agreed = _priced(tmp_path, "gpt-4o", agreed=True)
    listed = [_priced(tmp_path, model) for model in ("gpt-4o", "gpt-4-turbo")]

    assert [agreed, *listed] == [
        ("0.005600000000", "contract", "contract:openai/gpt-4o"),
        ("0.034000000000", "list", "overlay:openai/gpt-4o"),
        ("0.068000000000", "list", "base:openai/gpt-4-turbo"),
    ]


def test_a_base_of_yours_comes_last_as_the_shipped_one_does(tmp_path: Path) -> None:
    write_half_turbo(tmp_path / "prices_base.jsonl")

    found = [_priced(tmp_path, model, agreed=agreed) for model, agreed in _ASKED]

    assert found == [
        ("0.005600000000", "contract", "contract:openai/gpt-4-turbo"),
        ("0.034000000000", "list", "base-0.9.1:openai/gpt-4-turbo"),
        ("0.034000000000", "list", "overlay:openai/gpt-4o"),
    ]


_ASKED = (("gpt-4-turbo", True), ("gpt-4-turbo", False), ("gpt-4o", False))
