"""Pricing again what was booked: rows never change; settlements and corrections say what does."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_rows import make_lake
from settled_rows import NOON, Row, agent, booked, metered
from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger_analytics import drill, spend
from spanledger_analytics.connection import Ledger, connect
from spanledger_analytics.export import Choice, export
from spanledger_analytics.scope import EVERYTHING
from spanledger_analytics.snapshot import files_now
from spanledger_collector import candidates, lake as lake_module, repricing, traces
from spanledger_collector.candidates import Wanted
from spanledger_collector.lake import add_files, read_rows, write_days
from spanledger_collector.repricing import reprice
from spanledger_collector.rewrite import rewrite_day
from spanledger_collector.settling import Settled, settle_new
from spanledger_collector.tables import CORRECTIONS, SUPERSEDED

DAY = timedelta(days=1)
PRICE = Decimal("0.00225")
HALF = '[[discount]]\nname = "half"\nprovider = "openai"\npercent = 50\n'
Sign = Callable[[str], None]


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Sign]:
    def sign(text: str) -> None:
        (tmp_path / "contract.toml").write_text(text, "utf-8")
        contract.use(read_contract(tmp_path / "contract.toml"))

    yield sign
    contract.use(contract.NONE)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def commit(lake: Path, *rows: Row, writer: str = "w") -> None:
    make_lake(lake, booked(rows).to_pylist(maps_as_pydicts="strict"), writer=writer)


def ask(lake: Path, query: str) -> list[tuple[Any, ...]]:
    return connect(lake).execute(query).fetchall()


def run(lake: Path, wanted: Wanted | None = None, *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Reprice; returns what changes, by day and model."""
    return [
        {"day": day.dt.isoformat(), **change}
        for day in reprice(lake, wanted or Wanted(), dry_run=dry_run)
        for change in day.changes.to_pylist()
    ]


def test_a_late_contract_changes_what_views_show_and_says_so_in_corrections(lake: Path, sign: Sign) -> None:
    commit(
        lake,
        metered(1),
        metered(2, start_time=NOON + DAY),
        metered(3, provider="anthropic", request_model="claude-haiku-4-5", response_model="claude-haiku-4-5"),
    )
    sign(HALF)

    would = run(lake, dry_run=True)
    assert ask(lake, "select sum(cost_usd) from llm_calls where provider = 'openai'") == [(2 * PRICE,)]
    assert ask(lake, "select count(*) from corrections") == [(0,)]
    assert (
        run(lake)
        == would
        == [
            {"day": day, "provider": "openai", "model": "gpt-5", "calls": 1, "old_usd": PRICE, "new_usd": PRICE / 2}
            for day in ("2026-11-03", "2026-11-04")
        ]
    )

    found = ask(
        lake,
        "select cost_usd, cost_input + cost_output, cost_source, price_id from llm_calls where provider = 'openai'",
    )
    half = f"contract:half/{ask(lake, 'select price_id from spans_as_booked where cost_usd is not null')[0][0]}"
    assert found == [(PRICE / 2, PRICE / 2, "contract", half)] * 2
    assert ask(lake, "select sum(cost_usd) from spans_as_booked where provider = 'openai'") == [(2 * PRICE,)]
    assert ask(lake, "select reason, old_cost_usd, cost_usd, price_id, count(*) from corrections group by all") == [
        ("repriced", PRICE, PRICE / 2, half, 2)
    ]


def test_repricing_again_changes_nothing_and_going_back_says_that_too(lake: Path, sign: Sign) -> None:
    commit(lake, metered(1))
    sign(HALF)
    run(lake)

    assert run(lake) == []
    contract.use(contract.NONE)
    (back,) = run(lake)
    assert (back["old_usd"], back["new_usd"]) == (PRICE / 2, PRICE)
    assert ask(lake, "select cost_usd from llm_calls") == [(PRICE,)]
    history = ask(lake, "select old_cost_usd, cost_usd from corrections order by priced_at")
    assert history == [(PRICE, PRICE / 2), (PRICE / 2, PRICE)]


def test_only_the_calls_that_were_asked_for_are_priced_again(lake: Path, sign: Sign) -> None:
    mini: Row = {"request_model": "gpt-5-mini", "response_model": "gpt-5-mini"}
    commit(lake, metered(1), metered(2, start_time=NOON + DAY), metered(3, start_time=NOON + DAY, **mini))
    sign(HALF)

    second = (NOON + DAY).date()
    assert [change["model"] for change in run(lake, Wanted(second, second, model="*-mini"))] == ["gpt-5-mini"]
    assert [change["model"] for change in run(lake, Wanted(second, second))] == ["gpt-5"]
    assert [change["day"] for change in run(lake)] == ["2026-11-03"]


def test_a_model_that_is_known_by_now_gets_its_price_and_one_that_is_not_keeps_its_own(lake: Path, sign: Sign) -> None:
    ours: Row = {"request_model": "roadrunner", "response_model": "roadrunner", "provider": "acme"}
    price = '[[price]]\nprovider = "acme"\nmodel = "roadrunner"\nusd_per_million.input_tokens = "1"\n'
    commit(lake, metered(1, tokens=(1000, 0), **ours))
    sign(price)

    (change,) = run(lake)
    assert (change["old_usd"], change["new_usd"]) == (None, Decimal("0.001"))
    assert ask(lake, "select cost_usd, unpriced_reason from llm_calls") == [(Decimal("0.001"), None)]

    contract.use(contract.NONE)
    (day,) = reprice(lake, Wanted())
    assert (day.without_price, day.changes.num_rows) == (1, 0)
    assert ask(lake, "select cost_usd from llm_calls") == [(Decimal("0.001"),)]


def test_what_is_settled_later_keeps_the_new_price(lake: Path, sign: Sign) -> None:
    commit(lake, metered(2, parent=1))
    settle_new(lake, timedelta(0))
    sign(HALF)
    run(lake)

    commit(lake, {**agent(1), "user_id": "u-1"}, writer="later")
    settle_new(lake, timedelta(0))

    assert ask(lake, "select cost_usd, user_id from llm_calls") == [(PRICE / 2, "u-1")]
    assert run(lake) == []


def test_an_agent_that_is_charged_is_priced_again_and_a_repeat_is_not(lake: Path, sign: Sign) -> None:
    same: Row = {"response_id": "chatcmpl-0123456789-same"}
    commit(lake, agent(1), metered(2, trace=2, **same), metered(3, parent=2, trace=2, dialect="openinference", **same))
    settle_new(lake, timedelta(0))
    sign(HALF)

    (change,) = run(lake)
    assert (change["calls"], change["new_usd"]) == (2, PRICE)
    assert ask(lake, "select cost_usd from llm_calls order by span_id") == [(PRICE / 2,), (PRICE / 2,)]


def test_what_the_provider_states_and_what_was_declared_is_left_alone(lake: Path, sign: Sign) -> None:
    stated: Row = {"cost_source": "provider", "cost_usd": Decimal("0.5"), "cost_other": Decimal("0.5")}
    commit(lake, metered(1, **stated))
    sign(HALF)

    assert run(lake) == []
    assert ask(lake, "select cost_usd from llm_calls") == [(Decimal("0.5"),)]


def test_who_settles_meanwhile_is_not_overwritten(lake: Path, sign: Sign, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(lake, metered(2, parent=1))
    commit(lake, {**agent(1), "user_id": "u-1"}, writer="other")
    sign(HALF)
    append, raced = lake_module.append_files, list[Settled]()

    def settle_first(*args: Any, **kwargs: Any) -> None:
        append(*args, **kwargs)
        if not raced:
            raced.append(settle_new(lake, timedelta(0)))

    monkeypatch.setattr(repricing, "append_files", settle_first)
    run(lake)

    assert raced[0].decisions == 1
    assert ask(lake, "select cost_usd, user_id from llm_calls") == [(PRICE / 2, "u-1")]
    assert ask(lake, "select count(*) from settlements") == [(2,)]
    assert read_rows(lake, CORRECTIONS).num_rows == 2
    assert ask(lake, "select old_cost_usd, cost_usd from corrections") == [
        (PRICE, PRICE / 2)
    ]  # what lost the race is none


def test_views_as_of_a_moment_show_what_was_known_then(lake: Path, sign: Sign) -> None:
    commit(lake, metered(1))
    sign(HALF)
    run(lake)
    commit(lake, metered(2, trace=2, ingested_at=datetime.now(UTC)), writer="later")

    def total(as_of: datetime | None) -> tuple[Any, ...]:
        query = "select count(*), sum(cost_usd) from llm_calls"
        return connect(lake, as_of=as_of).execute(query).fetchall()[0]

    assert total(NOON + timedelta(minutes=1)) == (1, PRICE)
    assert total(NOON) == (0, None)
    assert total(None) == (2, PRICE)


def test_every_answer_about_money_follows_and_what_was_booked_stays(lake: Path, sign: Sign) -> None:
    commit(lake, metered(1, user_id="ann"), metered(2, trace=2, user_id="ann", provider="anthropic"))
    ledger, day = Ledger(lake, EVERYTHING), NOON.date()
    before, stamp = _answers(lake, ledger), ledger.stamp(day, day)
    booked = ask(lake, "select * from spans_as_booked order by span_id")
    sign(HALF)
    run(lake)

    assert before == [[PRICE]] * 8
    assert _answers(lake, ledger) == [[PRICE / 2]] * 8
    assert ledger.stamp(day, day) != stamp  # what was cached is asked anew
    assert ask(lake, "select * from spans_as_booked order by span_id") == booked
    moment = ask(lake, "select min(priced_at) from corrections")[0][0]
    known = connect(lake, as_of=moment - timedelta(microseconds=1))
    assert known.execute("select sum(cost_usd) from llm_calls").fetchall() == [(PRICE,)]
    assert known.execute("select count(*) from corrections").fetchall() == [(0,)]


def _answers(lake: Path, ledger: Ledger) -> list[list[Any]]:
    """Return the costs that each page, the views and an export tell."""
    day, exported = NOON.date(), io.BytesIO()
    frames = [
        *(asked(ledger, day, day) for asked in (spend.days, spend.filter_values)),
        *(asked(ledger, day) for asked in (spend.hours, drill.users)),
        *(drill.requests(ledger, day, None, "ann"), drill.trace(ledger, day, f"{1:032x}")),
    ]
    export(files_now(lake), Choice(), "parquet", exported, lambda _rows: None, lambda _connection: None)
    viewed = [cost for (cost,) in ask(lake, "select cost_usd from llm_calls")]
    told = [*(frame["cost_usd"].to_list() for frame in frames), viewed, pq.read_table(exported)["cost_usd"].to_pylist()]
    return [sorted({cost for cost in costs if cost is not None}) for costs in told]


def test_a_day_that_was_written_anew_is_priced_again_from_what_counts(lake: Path, sign: Sign) -> None:
    commit(lake, metered(1), metered(2, trace=2))
    sign(HALF)
    run(lake)
    assert rewrite_day(lake, NOON.date()) is not None
    assert run(lake) == []

    contract.use(contract.NONE)
    (back,) = run(lake)

    assert (back["old_usd"], back["new_usd"]) == (PRICE, 2 * PRICE)
    for view in ("llm_calls", "spans_as_booked"):
        assert ask(lake, f"select cost_usd from {view}") == [(PRICE,), (PRICE,)]
    history = ask(lake, "select old_cost_usd, cost_usd, count(*) from corrections group by all order by 1 desc")
    assert history == [(PRICE, PRICE / 2, 2), (PRICE / 2, PRICE, 2)]


def test_a_long_day_is_priced_in_parts_and_a_row_that_a_fuller_copy_replaced_is_not(
    lake: Path, sign: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        commit(lake, *(metered(number, trace=ord(name)) for number in range(1, 4)), writer=name)
    commit(lake, metered(1, trace=ord("a"), tokens=(2000, 100), ingested_at=NOON + timedelta(hours=1)), writer="d")
    _say_superseded(lake, booked([metered(1, trace=ord("a"))]), by="d")
    monkeypatch.setattr(repricing, "_FILE_ROWS", 2)
    monkeypatch.setattr(candidates, "_BATCH_ROWS", 1)
    monkeypatch.setattr(traces, "_MOST_FILES", 2)
    sign(HALF)

    (change,) = run(lake)

    assert change["calls"] == 9
    assert ask(lake, "select count(*), sum(cost_usd) from llm_calls") == [(9, change["new_usd"])]
    assert ask(lake, "select count(*), count(distinct trace_id || span_id) from corrections") == [(9, 9)]
    assert len(list((lake / "settlements").glob("dt=*/*.parquet"))) > 1
    assert run(lake) == []


def _say_superseded(lake: Path, rows: pa.Table, by: str) -> None:
    said = {"writer": by, "segment": 0, "written_at": NOON + timedelta(hours=1)}
    named = [name for name in SUPERSEDED.schema.names if name in rows.column_names]
    (row,) = rows.select(named).to_pylist()
    files = write_days(lake, "said", pa.Table.from_pylist([row | said], schema=SUPERSEDED.schema), SUPERSEDED)
    add_files(lake, files, writer="test", version=0, table=SUPERSEDED)
