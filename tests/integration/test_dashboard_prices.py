"""The Prices page, run by Streamlit without a browser."""

from __future__ import annotations

import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ledger_rows import call, make_lake, traffic
from spanledger import contract
from spanledger.book import current_book, use_book
from spanledger.contract_file import read_contract
from spanledger_analytics import price_list
from spanledger_collector.candidates import Wanted
from spanledger_collector.repricing import reprice

NOW = datetime.now(UTC)
CONTRACT = """
[[price]]
provider = "elsewhere"
model = "llama-4-local"
usd_per_million = { input_tokens = "1", output_tokens = "2" }
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    rows = traffic(NOW, days=9)
    return make_lake(tmp_path / "lake", [row | {"billing_basis": "usage"} for row in rows])


@pytest.fixture(autouse=True)
def home(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(lake)])
    monkeypatch.setenv("SPANLEDGER_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    return tmp_path


@pytest.fixture(autouse=True)
def in_force_only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page puts in force is the process's."""
    monkeypatch.setattr("spanledger.contract._in_force", contract.NONE)
    monkeypatch.setattr("spanledger.book._in_force", None)


def prices() -> None:
    from spanledger_dashboard.pages import prices

    prices.page()


def looked_at(**parameters: str) -> AppTest:
    page = AppTest.from_function(prices, default_timeout=120)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception
    return page


def headings(page: AppTest) -> list[str]:
    return [heading.value.replace("\\", "") for heading in page.subheader]


def test_models_in_use_stand_with_what_was_spent_and_what_they_cost() -> None:
    page = looked_at()
    assert headings(page)[0] == "The dearest model in use is gpt-4-turbo: $10 in and $30 out a million tokens"
    rows = page.dataframe[0].value
    assert rows["model"].iloc[0] == "gpt-4-turbo"
    assert set(rows["provider"]) == {"openai", "anthropic", "elsewhere"}
    listed = price_list.models(current_book(), NOW, [("openai", "gpt-5")]).row(0, named=True)
    (of_page,) = rows[rows["model"] == "gpt-5"].to_dict("records")
    assert (of_page["input"], of_page["output"], of_page["cache_read"]) == (
        listed["input"],
        listed["output"],
        listed["cache_read"],
    )


def test_a_search_finds_models_of_the_book_by_every_word() -> None:
    page = looked_at(find="Anthropic SONNET")
    found = page.dataframe[0].value
    assert headings(page)[0] == f"{len(found)} prices of the book for Anthropic SONNET"
    assert all("sonnet" in model for model in found["model"])
    assert "The book has no model for no-such-model" in headings(looked_at(find="no-such-model"))[0]


def test_searching_writes_the_address() -> None:
    page = looked_at()
    page.text_input(key="price-find").set_value(" sonnet ").run()
    assert page.query_params == {"find": "sonnet"}


def test_a_model_has_its_past_its_pages_and_its_command() -> None:
    page = looked_at(by_provider="openai", of_model="gpt-4o")
    assert "gpt-4o costs $2.50 in and $10 out a million tokens, since Wed 2 Oct 2024" in headings(page)
    assert headings(page)[0].startswith("The dearest model in use is gpt-4-turbo")
    assert len(page.get("plotly_chart")) == 1
    rows = next(frame.value for frame in page.dataframe if "what" in frame.value.columns)
    assert rows[rows["what"] == "output"][["starts_at", "ends_at"]].to_numpy().tolist() == [
        ["ever", "2024-10-02"],
        ["2024-10-02", "further notice"],
    ]
    assert "spanledger prices explain openai gpt-4o" in [code.value for code in page.code]

    page.selectbox(key="price-context").set_value("processing=batch")
    page.run()
    assert page.query_params["context"] == "processing=batch"
    assert "spanledger prices explain openai gpt-4o --processing batch" in [code.value for code in page.code]
    assert any(heading.startswith("gpt-4o, processing=batch, costs $1.25 in and $5 out") for heading in headings(page))


def test_a_price_that_is_to_come_is_not_told_as_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = datetime(2024, 9, 1, tzinfo=UTC)
    monkeypatch.setattr("spanledger_dashboard.prices.past.now", lambda: before)
    assert "gpt-4o costs $5 in and $15 out a million tokens" in headings(
        looked_at(by_provider="openai", of_model="gpt-4o")
    )


def test_an_unknown_model_gets_a_sentence() -> None:
    assert "The book has no price for no-such" in headings(looked_at(by_provider="openai", of_model="no-such"))


def test_what_has_no_price_stands_with_the_entry_to_add() -> None:
    page = looked_at()
    heading = next(heading for heading in headings(page) if "no price" in heading)
    assert heading.endswith(" calls of 1 model have no price")
    (entry,) = (code.value for code in page.code if "[[price]]" in code.value)
    assert tomllib.loads(entry)["price"][0]["model"] == "llama-4-local"


def test_of_what_charges_for_input_only_the_price_is_told_and_a_call_that_failed_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = call(1, 1, NOW - timedelta(days=1), "text-embedding-3-small", 1000, 0)
    failed |= {"cost_usd": None, "unpriced_reason": "error", "status": "error"}
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(make_lake(tmp_path / "failed", [failed]))])
    page = looked_at()
    assert headings(page)[:2] == [
        "The dearest model in use is text-embedding-3-small: $0.02 in a million tokens",
        "No price is missing on these days",
    ]
    captions = [caption.value.replace("\\", "") for caption in page.caption]
    assert "Without a price, and in need of none: 1 call that failed." in captions


def test_one_call_has_no_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [call(1, 1, NOW - timedelta(days=1), "unknown-model")]
    monkeypatch.setattr(sys, "argv", ["app.py", "--lake", str(make_lake(tmp_path / "unknown", rows))])
    assert headings(looked_at())[:2] == [
        "No call of these days was of a model of the book",
        "1 call of 1 model has no price",
    ]


def test_a_contract_counts_from_when_it_is_there_and_what_it_put_right_is_listed(lake: Path, home: Path) -> None:
    assert any("over both your contract (none)" in caption.value.replace("\\", "") for caption in looked_at().caption)
    path = home / "contract.toml"
    path.write_text(CONTRACT)
    contract.use(read_contract(path))
    days = Wanted((NOW - timedelta(days=9)).date(), NOW.date(), "*", "llama-4-local")
    calls = sum(day.calls for day in reprice(lake, days))
    assert calls > 0

    page = looked_at()
    assert any("contract.toml, with 1 price and 0 discounts" in text.value.replace("\\", "") for text in page.caption)
    assert contract.in_force().path == str(path)
    assert "No price is missing on these days" in headings(page)
    assert any(heading.startswith(f"{calls} calls put right in these days, $") for heading in headings(page))

    path.write_text(CONTRACT + "[[nonsense]]\n")
    assert "contract.toml" in looked_at().warning[0].value.replace("\\", "")
    use_book(None)
