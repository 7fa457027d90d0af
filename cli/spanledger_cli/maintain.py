"""`spanledger maintain`: what a collector does for its lake in quiet moments, by hand or from cron."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from spanledger.lake_path import LakePath
from spanledger.settings import Settings, load
from spanledger_dashboard.format import many

from . import lakes
from .progress import say

if TYPE_CHECKING:
    from spanledger_analytics.controls.watch import BudgetWatch
    from spanledger_collector.jobs import Did, Terms
    from spanledger_collector.settling import Settled

_LOOK_S: Final = 0.5


@click.command()
@click.option("--lake", type=lakes.LAKE, help=lakes.HELP)
@click.option("--once/--loop", default=True, help="End when what is due is done, or go on until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Only say which files would be merged and which days dropped.")
@click.option(
    "--from",
    "first",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Settle every trace with spans on this UTC day or later again, whether anything is new or not.",
)
@click.option(
    "--settle-after",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="How long a span waits for the rest of its trace (SPANLEDGER_SETTLE_AFTER_S); default: 600.",
)
@click.option(
    "--trust-clock",
    is_flag=True,
    help="Drop days that are too old (SPANLEDGER_KEEP_DAYS) although the lake's days don't lead up to today.",
)
def command(
    lake: LakePath | None,
    *,
    once: bool,
    dry_run: bool,
    first: datetime | None,
    settle_after: int | None,
    trust_clock: bool,
) -> None:
    """Do for a lake what a running collector does by itself in quiet moments.

    Traces are settled (one charge a call, agents charged where nothing below them is, tags from above), small files
    merged, days that are too old dropped, files that were replaced deleted, and budgets of the policy compared with
    the lake. By hand it is for a lake that no collector runs on, for a trace that shall not wait, and after a price was
    added to the book: calls that had none get it then.

    \b
    Examples:
      spanledger maintain                          what is due now; from cron, say
      spanledger maintain --dry-run
      spanledger maintain --settle-after 0         settle everything that is there
      spanledger maintain --from 2026-11-01        again, at today's prices
      spanledger maintain --loop                   go on, until Ctrl-C

    It may run beside collectors and other `maintain`s of the same lake. docs/maintaining.md says what is done when,
    docs/settling.md what settling changes.
    """
    settings = load(lake=lake)
    lakes.check_readable(settings.lake)
    quiet = timedelta(seconds=settings.settle_after_s if settle_after is None else settle_after)
    if not dry_run:
        _settle(settings, first, quiet)
    if once:
        _do_jobs(settings, dry_run=dry_run, trust_clock=trust_clock)
        return
    _go_on(settings, quiet)


def _settle(settings: Settings, first: datetime | None, quiet: timedelta) -> None:
    from spanledger_collector.base_watch import BaseWatch
    from spanledger_collector.contracts import ContractWatch
    from spanledger_collector.settling import settle_again, settle_new

    def say_settled(done: Settled) -> None:
        say(f"settled {many(done.traces, 'trace')}, {many(done.decisions, 'decision')}")

    BaseWatch(settings)
    ContractWatch(settings)
    if first is not None:
        say_settled(settle_again(settings.lake, first.date()))
    say_settled(settle_new(settings.lake, quiet))


def _do_jobs(settings: Settings, *, dry_run: bool, trust_clock: bool) -> None:
    """Do every job and print a line for what it did, waiting for another process of this machine that is at it."""
    from spanledger_collector.jobs import JOBS, Terms, note
    from spanledger_collector.maintain import lock_path
    from spanledger_collector.storage import table_logs
    from spanledger_collector.worker import if_free, only_one

    if not table_logs(settings.lake):
        lakes.say_empty(settings.lake)
        return
    terms = replace(Terms.of(settings), dry_run=dry_run, all_due=True, trust_clock=trust_clock)
    if dry_run:
        _print(settings.lake, terms)
        return
    with if_free(lock_path(settings.lake)) as free:
        pass
    if not free:
        say("another process does this for the lake just now; waiting for it")
    with only_one(lock_path(settings.lake)):
        note(settings.lake, tuple(JOBS), _print(settings.lake, terms))
    _count_days(settings.lake)
    _set_budgets_right(settings)


def _count_days(lake: LakePath) -> None:
    """Count into the rollups what isn't counted as it is now, where DuckDB is installed."""
    if importlib.util.find_spec("duckdb") is None:
        return
    from spanledger_analytics.counting import refresh_rollups
    from spanledger_analytics.rollup import lock_path as rollup_lock
    from spanledger_collector.worker import only_one

    with only_one(rollup_lock(lake)):
        done = refresh_rollups(lake)
    if done.counted:
        click.echo(f"{'count':<10} {'rollups':<12} {many(len(done.counted), 'day')} counted")


def _set_budgets_right(settings: Settings) -> None:
    """Set the accounts of the policy's budgets right by the lake, where they are in a store that processes share."""
    watch = _budgets(settings)
    if watch is None:
        return
    done = watch.compare()
    watch.close()
    if done is not None and done.confirmed:
        confirmed = many(done.confirmed, "call")
        click.echo(f"{'compare':<10} {'budgets':<12} {confirmed} confirmed, {done.changed} of them set right")


def _budgets(settings: Settings) -> BudgetWatch | None:
    if importlib.util.find_spec("duckdb") is None:
        return None
    from spanledger_analytics.controls.watch import BudgetWatch

    return BudgetWatch(settings)


def _print(lake: LakePath, terms: Terms) -> list[Did]:
    from spanledger_collector.jobs import run_jobs

    done = []
    for did in run_jobs(lake, terms):
        done.append(did)
        click.echo(f"{did.job:<10} {did.table:<12} {did.words}")
    if not done:
        say("nothing else is due")
    return done


def _go_on(settings: Settings, quiet: timedelta) -> None:
    from spanledger_collector.base_watch import BaseWatch
    from spanledger_collector.contracts import ContractWatch
    from spanledger_collector.maintain import Maintainer
    from spanledger_collector.settle import Settler

    watches = BaseWatch(settings), ContractWatch(settings)
    settler = Settler(settings.lake, quiet)
    maintainer = Maintainer(settings.lake)
    budgets = _budgets(settings)
    while True:
        for watch in watches:
            watch.refresh()
        settler.step()
        maintainer.step()
        if budgets is not None:
            budgets.step()
        time.sleep(_LOOK_S)
