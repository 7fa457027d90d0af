"""Contracts: what was agreed on goes before the list, in the process and in a batch of rows alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from aged import age
from spanledger import contract
from spanledger.contract import Commitment, Fee, FxRate, Scope
from spanledger.contract_file import ContractError, read_contract
from spanledger.pricing import PriceContext, Priced, price
from spanledger.settings import load
from spanledger.usage import Usage
from spanledger_collector.contracts import ContractWatch
from utc import day, instant_ns

Sign = Callable[[str], contract.Contract]
MILLION = Usage(input_uncached_tokens=1_000_000, output_text_tokens=1_000_000)


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Sign]:
    """Put a contract in force."""

    def sign(text: str) -> contract.Contract:
        path = tmp_path / "contract.toml"
        path.write_text(text, "utf-8")
        signed = read_contract(path)
        contract.use(signed)
        return signed

    yield sign
    contract.use(contract.NONE)


def cost(provider: str, model: str, at: str = "2026-11-20", usage: Usage = MILLION, **context: str) -> Priced:
    return price(provider, model, usage, instant_ns(at), PriceContext(**context))


def usd(found: Priced) -> Decimal | None:
    return None if found.cost_pico is None else Decimal(found.cost_pico).scaleb(-12)


def test_a_price_of_yours_goes_before_the_list_from_its_day_on(sign: Sign) -> None:
    listed = usd(cost("openai", "gpt-4o"))
    sign("""
[[price]]
provider = "openai"
model = "gpt-4o"
match = ["gpt-4o-2024-*"]
from = 2026-06-01
usd_per_million = { input_tokens = "2", output_tokens = "8.5" }
""")

    found = cost("openai", "gpt-4o-2024-08-06")
    assert (usd(found), found.cost_source) == (Decimal("10.5"), "contract")
    assert (found.price_id, found.matched_model) == ("contract:openai/gpt-4o@2026-06-01", "gpt-4o")
    before = cost("openai", "gpt-4o", "2026-05-31")
    assert (usd(before), before.cost_source) == (listed, "list")


def test_a_discount_lowers_each_meter_of_the_list_while_it_holds(sign: Sign) -> None:
    listed = cost("anthropic", "claude-opus-4-5")
    sign("""
[[discount]]
name = "enterprise"
provider = "anthropic"
models = ["claude-opus-*"]
percent = "12.5"
from = 2026-07-01
to = 2027-01-01
""")

    held, over = cost("anthropic", "claude-opus-4-5"), cost("anthropic", "claude-opus-4-5", "2027-01-01")
    assert listed.cost_pico is not None
    assert held.cost_pico == listed.cost_pico * 7 // 8
    assert (held.cost_source, held.price_id) == ("contract", f"contract:enterprise/{listed.price_id}")
    assert (over.cost_pico, over.cost_source) == (listed.cost_pico, "list")
    assert cost("anthropic", "claude-haiku-4-5").cost_source == "list"


def test_a_discount_may_be_for_some_meters_and_one_account(sign: Sign) -> None:
    usage = Usage(input_uncached_tokens=1_000_000, cache_read_tokens=1_000_000)
    listed = cost("openai", "gpt-4o", usage=usage)
    sign("""
[[discount]]
name = "cache"
provider = "openai"
account = "org-7"
meters = ["cache_read_tokens"]
percent = 50
""")

    found = cost("openai", "gpt-4o", usage=usage, account="org-7")
    assert listed.cost_cache_read_pico is not None
    assert found.cost_input_pico == listed.cost_input_pico
    assert found.cost_cache_read_pico == listed.cost_cache_read_pico // 2
    assert cost("openai", "gpt-4o", usage=usage) == listed
    assert cost("openai", "gpt-4o", usage=usage, account="org-8") == listed


def test_of_several_discounts_the_first_in_the_file_holds(sign: Sign) -> None:
    listed = usd(cost("openai", "gpt-4o"))
    sign("""
[[discount]]
name = "gpt-4o"
provider = "openai"
models = ["gpt-4o"]
percent = 50
to = 2026-12-01

[[discount]]
name = "all"
provider = "*"
percent = 10
""")

    assert listed is not None
    assert usd(cost("openai", "gpt-4o")) == listed / 2
    assert usd(cost("openai", "gpt-4o", "2026-12-01")) == listed * 9 / 10


def test_a_deployment_has_the_price_of_its_model_and_is_unknown_without(sign: Sign) -> None:
    assert cost("azure", "chat-prod").unpriced_reason == "unknown_model"
    listed = cost("azure", "gpt-4o-mini")
    sign("""
[[deployment]]
provider = "azure"
name = "chat-*"
model = "gpt-4o-mini"
""")

    assert cost("azure", "chat-prod") == listed
    assert cost("azure", "other").unpriced_reason == "unknown_model"


def test_a_model_on_hardware_of_yours_costs_the_time_that_its_tokens_take(sign: Sign) -> None:
    assert cost("vllm", "llama-3.3-70b").unpriced_reason == "unknown_provider"
    sign("""
[[self_hosted]]
provider = "vllm"
model = "llama-3.3-70b"
gpu_usd_per_hour = "2.5"
gpus = 4
overhead = "0.30"
utilisation = "0.40"
input_tokens_per_second = 20000
output_tokens_per_second = "2000"
""")

    found = cost("vllm", "llama-3.3-70b")
    # 2.5 x 4 x 1.3 = 13 USD an hour; of 3600 s 1440 are used: 13 / 1440 s = 0.009027777... USD a second.
    assert usd(found) == Decimal("0.451388888889") + Decimal("4.513888888889")
    assert (found.price_id, found.cost_source) == ("contract:vllm/llama-3.3-70b", "contract")


def test_a_batch_has_no_price_of_yours_but_one_for_batches(sign: Sign) -> None:
    listed = usd(cost("openai", "gpt-4o", processing="batch"))
    sign("""
[[price]]
provider = "openai"
model = "gpt-4o"
usd_per_million = { input_tokens = "2", output_tokens = "8" }

[[price]]
provider = "openai"
model = "gpt-4o"
account = "org-7"
context = { processing = "batch" }
usd_per_million = { input_tokens = "1", output_tokens = "3" }
""")

    assert usd(cost("openai", "gpt-4o")) == Decimal(10)
    assert usd(cost("openai", "gpt-4o", processing="batch")) == listed
    assert usd(cost("openai", "gpt-4o", processing="batch", account="org-7")) == Decimal(4)
    assert usd(cost("openai", "gpt-4o", account="org-7")) == Decimal(10)


def test_tiers_and_hours_of_yours_hold_as_those_of_the_book_do(sign: Sign) -> None:
    sign("""
[[price]]
provider = "acme"
model = "roadrunner"
daily = ["16:30:00", "24:00:00"]
usd_per_million = { input_tokens = "1" }

[[price]]
provider = "acme"
model = "roadrunner"
up_to = 1000
usd_per_million = { input_tokens = "10" }

[[price]]
provider = "acme"
model = "roadrunner"
above = 1000
usd_per_million = { input_tokens = "20" }
""")

    def micro(at: str, tokens: int) -> Decimal:
        found = usd(cost("acme", "roadrunner", at, Usage(input_uncached_tokens=tokens)))
        assert found is not None
        return found * 10**6

    assert micro("2026-11-20T16:29:59", 1000) == 10_000
    assert micro("2026-11-20T16:29:59", 1001) == 20_020
    assert micro("2026-11-20T16:30:00", 1001) == 1001


def test_fees_commitments_and_rates_of_exchange_are_kept_exactly(sign: Sign) -> None:
    signed = sign("""
[[fee]]
name = "PTU west"
provider = "azure"
usd_per_month = "5000.10"
spread = "tokens"
from = 2026-01-01

[[commitment]]
name = "2026"
provider = "openai"
usd = 250000
from = 2026-01-01
to = 2027-01-01

[[fx]]
currency = "EUR"
from = 2026-11-01
usd = "1.0856"
""")

    azure = Scope("azure", from_ns=instant_ns("2026-01-01"))
    assert signed.fees == (Fee("PTU west", azure, Decimal("5000.10"), "tokens"),)
    year = Scope("openai", from_ns=instant_ns("2026-01-01"), to_ns=instant_ns("2027-01-01"))
    assert signed.commitments == (Commitment("2026", year, Decimal(250_000)),)
    assert signed.fx == (FxRate("EUR", day("2026-11-01"), Decimal("1.0856")),)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("[[discount]]\nname = 'x'\npercent = 12.5\n", 3, 'write the number in quotes, as "12.5"'),
        ("[[discount]]\nname = 'x'\npercent = 120\n", 3, "at most 100"),
        ("[[discount]]\nname = 'x'\n", 1, "percent: expected a number"),
        ("[[discount]]\nname = 'x'\npercent = 5\nfrom = 2026-02-01\nto = 2026-01-01\n", 5, "later than `from`"),
        ("[[discount]]\nname = 'x'\npercent = 5\nmeters = ['input_tokens']\n", 4, "is a total"),
        ("# mine\n\n[[fee]]\nname = 'a'\nusd_per_month = 1\nfrom = 2026-01-15\n", 6, "first day of a month"),
        ("[[price]]\nprovider = 'x'\nmodel = 'y'\nusd_per_million = { input = '1' }\n", 4, "input is no token price"),
        ("[[price]]\nprovider = 'x'\nmodel = 'y'\nusd_per_million.input_tokens = 0.1\n", 4, "in quotes"),
        ("[[price]]\nprovider = 'x'\nmodel = 'y'\ncolour = 1\nfree = true\n", 4, "colour: unknown; known: above"),
        ("[[price]]\nmodel = 'y'\nfree = true\n", 1, "provider: needed"),
        ("[[price]]\nprovider = 'x'\nmodel = 'y'\n", 1, "usd_per_million: needed"),
        ("[[fx]]\ncurrency = 'eur'\nfrom = 2026-01-01\nusd = '1'\n", 2, "three capitals"),
        ("[[fee]]\nname='a'\nusd_per_month=1\nfrom=2026-01-01\n\n[[fee]]\nname='b'\nusd_per_month='x'\n", 8, "'x'"),
        ("[[discount]]\nname='a'\npercent=1\n[[discount]]\npercent=2\nname='a'\n", 6, "'a' stands twice"),
        ("[[fee]]\nname='a'\nusd_per_month='0.1234567890123'\nfrom=2026-01-01\n", 3, "more than 12 decimals"),
        ("[discount]\npercent = 5\n", 1, "write [[discount]]"),
        ("[[rebate]]\npercent = 5\n", 1, "unknown entry rebate; known: deployment, price"),
        ("[[discount]]\npercent = \n", None, "not valid TOML: Invalid value (at line 2"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line_and_key(
    sign: Sign, text: str, line: int | None, told: str
) -> None:
    with pytest.raises(ContractError) as refused:
        sign(text)

    assert refused.value.line == line
    assert told in str(refused.value)


def test_a_file_that_is_not_there_says_which_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="SPANLEDGER_CONTRACT"):
        read_contract(tmp_path / "none.toml")


def test_a_contract_that_is_being_written_leaves_the_one_before(
    sign: Sign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanledger.entries.STILL_S", 60.0)
    path = tmp_path / "contract.toml"
    signed = sign('[[discount]]\nname = "half"\nprovider = "openai"\npercent = 50\n')
    watch = ContractWatch(load(home=str(tmp_path)))
    held = []
    for half, age_s in (("# the beginning of\n", 0), ("", 0), ("", 61), ("# none any more\n", 61)):
        path.write_text(half, "utf-8")
        age(path, age_s)
        watch.refresh()
        held.append(contract.in_force().discounts)
    assert held == [signed.discounts] * 3 + [()]
