"""Calls of real SDKs held against a policy: refused before anything is sent, settled by what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import spanledger
from aged import age
from guarded import accounts, gate, write_policy
from noon import begin_at_noon
from spanledger import faults, ledger
from spanledger.errors import BudgetExceeded, LimitExceeded
from spanledger.guard.decisions import Decision
from spanledger.guard.memory import MemoryStore
from spanledger.guard.plans import Plan as Wanted
from spanledger.guard.store import LEASE_MS, Line, Reserved
from spanledger.guard.words import throttled
from spanledger.settings import load
from spanledger.usage import Usage
from spanledger_cli.demo.plans import Plan
from spanledger_cli.demo.provider import LocalProvider
from tracing import MESSAGES, Traced, switched_on
from waiting import wait_until

CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
A_DOLLAR = Usage(input_uncached_tokens=200_000, output_text_tokens=50_000)
"""Of gpt-4o: 200,000 at $2.50 and 50,000 at $10 a million."""
BUDGET = """
[[budget]]
name = "ann's day"
match = { user_id = "ann" }
per = "day"
usd = "2.2"
"""


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    begin_at_noon(monkeypatch)


@pytest.fixture
def new_faults(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count faults from here on, whatever other tests of this process have come to."""
    counts = Counter[str]()
    monkeypatch.setattr(faults, "_counts", counts)
    return counts


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Traced]:
    write_policy(monkeypatch, tmp_path, BUDGET)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        yield traced


def test_a_call_above_the_budget_is_refused_before_a_byte_is_sent(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    for _ in range(2):
        provider.plan(Plan(usage=A_DOLLAR))
    with spanledger.tags(user_id="ann"):
        for _ in range(2):
            client.chat.completions.create(**CHAT)
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**CHAT)
    client.chat.completions.create(**CHAT)  # of nobody

    error = refused.value
    assert isinstance(error, BudgetExceeded)
    assert (error.policy, error.scope, error.limit, error.spent) == (
        "ann's day",
        "user_id=ann",
        Decimal("2.2"),
        2,
    )
    assert (error.status_code, error.code) == (429, "insufficient_quota")
    assert error.response.headers["x-should-retry"] == "false"
    assert error.resets_at is not None
    assert "The budget 'ann's day' (user_id=ann) has $2.20 a day: $2.00 spent" in str(error)
    assert provider.requests == 3
    (account,) = accounts()
    assert (account.spent, account.held, account.flagged) == (2_000_000_000, 0, 0)
    told = [span["attributes"] for span in traced.spans()]
    assert [one.get("spanledger.guard.action") for one in told] == ["allow", "allow", "block", None]
    (decision,) = json.loads(told[2]["spanledger.guard.decisions"])
    assert Decimal(decision.pop("estimate")) > 0
    assert decision.pop("resets_at").endswith("Z")
    assert decision == {
        "rule": "ann's day",
        "kind": "budget",
        "scope": "user_id=ann",
        "action": "block",
        "shadow": False,
        "sentence": str(error),
        "unit": "usd",
        "limit": "2.2",
        "spent": "2",
        "held": "0",
    }


def test_a_refused_call_of_an_event_loop_leaves_no_hold(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    async def ask(times: int) -> list[object]:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            calls = (client.chat.completions.create(**CHAT) for _ in range(times))
            return await asyncio.gather(*calls, return_exceptions=True)

    for _ in range(8):
        provider.plan(Plan(usage=A_DOLLAR, delay_s=0.2))
    with spanledger.tags(user_id="ann"):
        asyncio.run(ask(2))
        found = asyncio.run(ask(4))

    assert [type(one).__name__ for one in found] == ["BudgetExceeded"] * 4
    assert [(one.spent, one.held) for one in accounts()] == [(2_000_000_000, 0)]
    assert provider.requests == 2


def test_a_stream_that_is_closed_early_is_settled_by_what_was_heard(
    traced: Traced, provider: LocalProvider, client: openai.OpenAI
) -> None:
    provider.plan(Plan(text_tokens=400))
    with spanledger.tags(user_id="ann"):
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            next(iter(stream))
        assert [one.held > 0 for one in accounts()] in ([True], [False])
    wait_until_nothing_is_held()

    (account,) = accounts()
    assert account.spent == account.flagged > 0
    (span,) = traced.spans()
    assert account.spent == -(-span["attributes"]["spanledger.cost.pico_usd"] // 1000)


def wait_until_nothing_is_held() -> None:
    """Return when all calls are settled; those of streams that were left are by the ledger's thread."""
    wait_until(lambda: not any(one.held for one in accounts()), what="settling of all calls")


def test_an_error_of_the_provider_costs_nothing(traced: Traced, provider: LocalProvider, client: openai.OpenAI) -> None:
    provider.plan(Plan(status=400))
    with spanledger.tags(user_id="ann"), pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**CHAT)

    assert [(one.spent, one.held) for one in accounts()] == [(0, 0)]


def test_a_limit_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        """
        [[limit]]
        name = "no user floods us"
        match = { user_id = "*" }
        requests_per_minute = 2
        """,
    )
    with switched_on(monkeypatch, tmp_path / "home"):
        for user in ("ann", "bob"):
            with spanledger.tags(user_id=user):
                client.chat.completions.create(**CHAT)
                client.chat.completions.create(**CHAT)
        with spanledger.tags(user_id="ann"), pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(**CHAT)

    error = refused.value
    assert isinstance(error, LimitExceeded)
    assert error.retry_after_s is not None
    assert 0 < error.retry_after_s <= 120
    assert error.code == "rate_limit_exceeded"
    assert int(error.response.headers["retry-after"]) >= 1
    assert provider.requests == 4


def test_what_is_in_shadow_only_says_what_it_would_have_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(monkeypatch, tmp_path, BUDGET + "shadow = true\n")
    with switched_on(monkeypatch, tmp_path / "home") as traced, spanledger.tags(user_id="ann"):
        for _ in range(3):
            provider.plan(Plan(usage=A_DOLLAR))
            client.chat.completions.create(**CHAT)
        told = [span["attributes"] for span in traced.spans()]

    assert [one["spanledger.guard.action"] for one in told] == ["allow"] * 3
    (would,) = json.loads(told[2]["spanledger.guard.decisions"])
    assert (would["action"], would["shadow"], would["spent"]) == ("block", True, "2")


def test_a_budget_at_90_percent_has_calls_go_to_the_model_that_stands_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        """
        [[budget]]
        name = "ann's day"
        match = { user_id = "ann" }
        per = "day"
        usd = 1
        at = { "90%" = "degrade", "200%" = "block" }

        [[degrade]]
        model = "gpt-4o"
        to = "gpt-4o-mini"
        drop = ["temperature"]
        """,
    )
    with switched_on(monkeypatch, tmp_path / "home") as traced, spanledger.tags(user_id="ann"):
        provider.plan(Plan(usage=A_DOLLAR))
        client.chat.completions.create(**CHAT)
        provider.plan(Plan(usage=A_DOLLAR))
        answer = client.chat.completions.create(**CHAT, temperature=0.5)
        told = [span["attributes"] for span in traced.spans()][1]

    assert answer.model.startswith("gpt-4o-mini")
    assert told["gen_ai.request.model"] == "gpt-4o-mini"
    assert told["spanledger.routed_from"] == "gpt-4o"
    assert told["spanledger.guard.action"] == "degrade"
    assert told["spanledger.cost.pico_usd"] == 60_000_000_000
    assert told["spanledger.avoided.pico_usd"] == 940_000_000_000


def test_a_policy_that_changed_holds_and_one_that_is_wrong_leaves_the_last_good_one(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    new_faults: Counter[str],
) -> None:
    monkeypatch.setattr("spanledger.guard.gate.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("spanledger.entries.STILL_S", 0.0)
    path = write_policy(monkeypatch, tmp_path, "# none yet")
    with switched_on(monkeypatch, tmp_path / "home", faultless=False), spanledger.tags(user_id="ann"):
        client.chat.completions.create(**CHAT)
        path.write_text('[[limit]]\nname = "one"\nrequests_per_minute = 1\n')
        client.chat.completions.create(**CHAT)
        with pytest.raises(LimitExceeded):
            client.chat.completions.create(**CHAT)
        path.write_text('[[limit]]\nname = "one"\nrequests_per_minute = "two"\n')
        with pytest.raises(LimitExceeded):
            client.chat.completions.create(**CHAT)

    (told,) = (kind for kind in new_faults if kind.startswith("policy"))
    assert told.startswith("policy not used, the last good one holds: ")
    assert told.endswith("line 3: [[limit]] requests_per_minute: expected a whole number of at least 1, not 'two'")


def test_a_policy_that_is_being_written_leaves_the_last_good_one(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    new_faults: Counter[str],
) -> None:
    monkeypatch.setattr("spanledger.guard.gate.LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("spanledger.entries.STILL_S", 60.0)
    path = write_policy(monkeypatch, tmp_path, '[[limit]]\nname = "one"\nrequests_per_minute = 1\n')
    with switched_on(monkeypatch, tmp_path / "home", faultless=False):
        client.chat.completions.create(**CHAT)
        for half, age_s in (("# the beginning of\n", 0), ("", 0), ("", 61)):
            path.write_text(half)
            age(path, age_s)
            with pytest.raises(LimitExceeded):
                client.chat.completions.create(**CHAT)
        path.write_text("# none any more\n")
        age(path, 61)
        client.chat.completions.create(**CHAT)
    (told,) = (kind for kind in new_faults if kind.startswith("policy"))
    assert told == (
        f"policy not used, the last good one holds: {path}: is empty, as where a disk was full; write a comment if "
        "nothing is meant"
    )


def test_a_home_that_cannot_be_made_is_a_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    (tmp_path / "file").touch()
    _assert_held_by_what_is_known(monkeypatch, tmp_path, "sqlite", tmp_path / "file" / "home", provider, client)


def test_a_store_whose_library_is_not_installed_is_away_and_keeps_no_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    for module in ("redis_store", "redis_wire", "cache.redis_answers"):
        monkeypatch.delitem(sys.modules, f"spanledger.guard.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    cache = '[[cache]]\nname = "faq"\nmatch = { feature = "faq" }\n'
    faults_before = faults.counts()
    _assert_held_by_what_is_known(
        monkeypatch, tmp_path, "redis://127.0.0.1:9/0", tmp_path / "home", provider, client, cache
    )

    for kind in ("store of budgets: StoreAwayError", "no answer is kept: ImportError"):
        assert faults.counts()[kind] > faults_before.get(kind, 0)


def _assert_held_by_what_is_known(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    store: str,
    home: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    more: str = "",
) -> None:
    """A budget lets through what it has room for, and one that is to be closed then, nothing."""
    closed = BUDGET.replace("ann", "bob") + 'store_away = "closed"\n'
    write_policy(monkeypatch, tmp_path, f'store = "{store}"\n' + BUDGET + closed + more)
    for _ in range(2):
        provider.plan(Plan(usage=A_DOLLAR))
    with switched_on(monkeypatch, home, faultless=False):
        with spanledger.tags(user_id="bob"), pytest.raises(BudgetExceeded):
            client.chat.completions.create(**CHAT)
        with spanledger.tags(user_id="ann"):
            for _ in range(2):
                client.chat.completions.create(**CHAT)
            with pytest.raises(BudgetExceeded):
                client.chat.completions.create(**CHAT)


def test_a_policy_that_is_wrong_from_the_start_is_told_to_hold_nothing(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    new_faults: Counter[str],
) -> None:
    write_policy(monkeypatch, tmp_path, '[[budget]]\nname = "all"\nper = "month"\nusd = "none"\n')
    with switched_on(monkeypatch, tmp_path / "home", faultless=False):
        client.chat.completions.create(**CHAT)

    (told,) = (kind for kind in new_faults if kind.startswith("policy"))
    assert told.startswith("policy not used, calls go on without any rule: ")
    assert "line 4: [[budget]] usd" in told


def test_a_single_call_that_may_cost_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        '[[budget]]\nname = "no dear call"\nper = "request"\nusd = 1\nestimate = "strict"\n',
    )
    with switched_on(monkeypatch, tmp_path / "home"):
        client.chat.completions.create(**CHAT, max_tokens=90_000)
        with pytest.raises(BudgetExceeded, match=r"lets a single call cost \$1.00, and this one may cost \$1.20"):
            client.chat.completions.create(**CHAT, max_tokens=120_000)

    assert provider.requests == 1


@pytest.mark.parametrize(
    ("unknown_price", "sent", "spent"),
    [
        ("", 2, 0),
        ('unknown_price = "deny"', 0, 0),
        ('unknown_price = "deny"\nestimate = "postpaid"', 0, 0),
        ("unknown_price = 0.6", 1, 600_000_000),
    ],
)
def test_a_call_of_unknown_price_goes_as_the_budget_says(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    unknown_price: str,
    sent: int,
    spent: int,
) -> None:
    write_policy(monkeypatch, tmp_path, f'[[budget]]\nname = "all"\nper = "day"\nusd = 1\n{unknown_price}\n')
    with switched_on(monkeypatch, tmp_path / "home"):
        for _ in range(2):
            with contextlib.suppress(BudgetExceeded):
                client.chat.completions.create(model="nobody-knows", messages=MESSAGES)
        assert [one.spent for one in accounts()] in ([spent], [])

    assert provider.requests == sent


def test_a_model_of_half_a_character_leaves_the_store_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        'store = "sqlite"\n[[budget]]\nname = "all"\nmatch = { model = "*" }\nper = "total"\nusd = 1\n',
    )
    with switched_on(monkeypatch, tmp_path / "home"):
        with pytest.raises(UnicodeEncodeError):  # of the SDK
            client.chat.completions.create(model="gpt-4o\ud83d", messages=MESSAGES)
        store = gate().store
        assert [(one.key, one.spent, one.held) for one in accounts()] == [("budget/all/model=gpt-4o?/total", 0, 0)]
        assert getattr(store, "away", None) is False


def test_a_call_waits_for_its_turn_as_long_as_the_limit_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(monkeypatch, tmp_path, '[[limit]]\nname = "one at a time"\nconcurrent = 1\nmax_wait = "1m"\n')
    waiting: list[object] = []

    def waits(plan: Wanted) -> Decision:
        waiting.append(plan)
        return throttled(plan)

    monkeypatch.setattr("spanledger.guard.admission.throttled", waits)
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        client.chat.completions.create(**CHAT)
        with ThreadPoolExecutor(3) as pool, client.chat.completions.create(**CHAT, stream=True) as stream:
            next(iter(stream))
            asked = [pool.submit(lambda: client.chat.completions.create(**CHAT)) for _ in range(3)]
            wait_until(lambda: len(waiting) == 3, what="three that wait for their turn")
            assert provider.requests == 2
            stream.close()
            for one in asked:
                one.result()
        told = [span["attributes"]["spanledger.guard.action"] for span in traced.spans()]
        assert [one.held for one in accounts()] == [0]

    assert sorted(told) == ["allow", "allow", "throttle", "throttle", "throttle"]


def test_a_call_that_is_cancelled_while_it_waits_for_its_turn_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        '[[budget]]\nname = "all"\nper = "day"\nusd = 9\n'
        '[[limit]]\nname = "one"\nrequests_per_minute = 1\nmax_wait = "5m"\n',
    )

    async def ask() -> object:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            await client.chat.completions.create(**CHAT)
            waiting = asyncio.ensure_future(client.chat.completions.create(**CHAT))
            await asyncio.sleep(0)
            waiting.cancel()
            return (await asyncio.gather(waiting, return_exceptions=True))[0]

    with switched_on(monkeypatch, tmp_path / "home") as traced:
        assert isinstance(asyncio.run(ask()), asyncio.CancelledError)
        costs = sum(-(-span["attributes"].get("spanledger.cost.pico_usd", 0) // 1000) for span in traced.spans())
        (budget,) = [one for one in accounts() if one.kind == "budget"]

    assert (budget.spent, budget.held, budget.flagged) == (costs, 0, 0)
    assert provider.requests == 1


def test_too_many_at_a_time_are_refused_where_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(monkeypatch, tmp_path, '[[limit]]\nname = "one at a time"\nconcurrent = 1\n')
    with switched_on(monkeypatch, tmp_path / "home"):
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            next(iter(stream))
            with pytest.raises(LimitExceeded, match="lets 1 calls be under way at a time"):
                client.chat.completions.create(**CHAT)
        wait_until_nothing_is_held()
        client.chat.completions.create(**CHAT)


def test_a_provider_that_refuses_the_model_that_stands_in_is_asked_for_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        '[[budget]]\nname = "all"\nper = "day"\nusd = 1\nat = { "1%" = "degrade" }\n'
        '[[degrade]]\nmodel = "gpt-4o"\nto = "gpt-4o-mini"\n',
    )
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        provider.plan(Plan(status=400), Plan(usage=A_DOLLAR))
        answer = client.chat.completions.create(**CHAT)
        (span,) = traced.spans()
        (account,) = accounts()

    assert answer.model.startswith("gpt-4o-2")
    assert span["attributes"]["gen_ai.request.model"] == "gpt-4o"
    assert "spanledger.routed_from" not in span["attributes"]
    assert "the provider refused the request for it" in span["attributes"]["spanledger.guard.decisions"]
    assert (account.spent, account.held) == (1_000_000_000, 0)


def test_a_model_that_the_provider_keeps_refusing_is_let_be_for_a_while(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI
) -> None:
    write_policy(
        monkeypatch,
        tmp_path,
        '[[budget]]\nname = "all"\nper = "total"\nusd = 100\nat = { "1%" = "degrade" }\n'
        '[[degrade]]\nmodel = "gpt-4o"\nto = "gpt-4o-mini"\n',
    )
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        provider.plan(Plan(usage=A_DOLLAR))
        client.chat.completions.create(**CHAT)
        for _ in range(3):
            provider.plan(Plan(status=404), Plan(usage=A_DOLLAR))
            client.chat.completions.create(**CHAT)
        assert provider.requests == 7
        assert client.chat.completions.create(**CHAT).model.startswith("gpt-4o-2")
        assert provider.requests == 8

        now_ns = gate().now_ns
        monkeypatch.setattr(gate(), "now_ns", lambda: now_ns() + 601 * 10**9)
        assert client.chat.completions.create(**CHAT).model.startswith("gpt-4o-mini")
        assert provider.requests == 9

        provider.plan(Plan(status=404))  # one refusal after an answer is the first
        client.chat.completions.create(**CHAT)
        assert client.chat.completions.create(**CHAT).model.startswith("gpt-4o-mini")
        assert provider.requests == 12
        spans = traced.spans()

    assert "the provider refused it 3 times in a row" in spans[4]["attributes"]["spanledger.guard.decisions"]
    assert spans[5]["attributes"]["spanledger.routed_from"] == "gpt-4o"


def test_a_batch_of_cancelled_tasks_leaves_no_hold(traced: Traced, provider: LocalProvider) -> None:
    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            tasks = [asyncio.create_task(client.chat.completions.create(**CHAT)) for _ in range(32)]
            await asyncio.to_thread(
                wait_until, lambda: provider.requests >= 16, timeout_s=60, what="half of the requests"
            )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    provider.plan(*[Plan(delay_s=600)] * 32)
    with spanledger.tags(user_id="ann"):
        asyncio.run(cancelled())
    wait_until_nothing_is_held()

    (account,) = accounts()
    # What had been sent may be billed; that is charged by its estimate, and told as such.
    assert 0 < account.spent == account.flagged
    assert gate().live == {}


class Slow(MemoryStore):
    """A store that is asked in a thread, as one over a network is, and answers when it may."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer, self.answered = threading.Event(), threading.Event(), threading.Event()

    def reserve(self, call: str, lines: Sequence[Line], now_ms: int) -> Reserved:
        """Hold the amounts of all lines, or of none."""
        self.asked.set()
        self.may_answer.wait()
        reserved = super().reserve(call, lines, now_ms)
        self.answered.set()
        return reserved


def test_a_task_that_is_cancelled_before_the_store_has_answered_leaves_no_hold(
    traced: Traced, provider: LocalProvider
) -> None:
    store = gate().store = Slow()

    async def cancelled() -> None:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="none") as client:
            task = asyncio.create_task(client.chat.completions.create(**CHAT))
            await asyncio.to_thread(store.asked.wait)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(spanledger.flush)
            store.may_answer.set()

    with spanledger.tags(user_id="ann"):
        asyncio.run(cancelled())
    store.answered.wait()

    wait_until(lambda: [(one.spent, one.held) for one in accounts()] == [(0, 0)], what="a budget that holds nothing")
    wait_until(lambda: gate().live == {}, what="a call that nobody renews")
    assert provider.requests == 0


@pytest.mark.parametrize("estimate", ["expected", "postpaid"])
def test_an_answer_whose_usage_contradicts_itself_is_charged_by_its_estimate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: LocalProvider, client: openai.OpenAI, estimate: str
) -> None:
    write_policy(monkeypatch, tmp_path, f'[[budget]]\nname = "all"\nper = "day"\nusd = 1\nestimate = "{estimate}"\n')
    # More of it cached than there was.
    provider.plan(Plan(usage=Usage(input_uncached_tokens=-9, cache_read_tokens=19, output_text_tokens=5)))
    with switched_on(monkeypatch, tmp_path / "home") as traced:
        client.chat.completions.create(**CHAT)
        (span,) = traced.spans()
        (account,) = accounts()

    assert span["attributes"]["spanledger.usage.state"] == "inconsistent"
    estimate_nano_usd = 10 * 2_500 + 1_024 * 10_000  # tokens in and out
    assert (account.spent, account.held, account.flagged) == (estimate_nano_usd, 0, estimate_nano_usd)


def _fails(*_: object) -> None:
    raise OSError("made up")


def _fills_queue(patch: pytest.MonkeyPatch) -> None:
    worker = ledger.start()
    patch.setattr(worker, "_settings", replace(load(), queue_size=0))


@pytest.mark.parametrize(
    "spoil",
    [
        _fills_queue,
        lambda patch: patch.setattr("spanledger.ledger.Worker._set_up", lambda _: False),
        lambda patch: patch.setattr("spanledger.tracing.SpanMaker.encode", _fails),
        lambda patch: patch.setattr("spanledger.tracing.SpanMaker._weighed", _fails),
        lambda patch: patch.setattr("spanledger.call.Call._gather", _fails),
    ],
    ids=["queue full", "no way to send", "not encoded", "not weighed", "not finished"],
)
def test_a_call_that_never_reaches_the_ledger_is_charged_by_its_estimate(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: LocalProvider,
    client: openai.OpenAI,
    spoil: Callable[[pytest.MonkeyPatch], None],
) -> None:
    write_policy(monkeypatch, tmp_path, BUDGET + '[[limit]]\nname = "one"\nconcurrent = 1\n')
    with switched_on(monkeypatch, tmp_path / "home", faultless=False), spanledger.tags(user_id="ann"):
        with (
            monkeypatch.context() as patch,
            client.chat.completions.create(**CHAT, stream=True) as stream,
        ):
            next(iter(stream))
            spoil(patch)
            (held,) = [one.held for one in accounts() if one.kind == "budget"]
            stream.close()
            wait_until(lambda: gate().live == {}, what="a hold that nobody renews")
        store = gate().store
        assert store is not None
        in_two_minutes = gate().now_ns() // 1_000_000 + LEASE_MS
        store.renew(list(gate().live), in_two_minutes)
        store.sweep(in_two_minutes)
        told = [(one.kind, one.spent, one.held, one.flagged) for one in accounts()]

    assert held > 0
    assert told == [("budget", held, 0, held)]
