"""`spanledger drain`: make the requests that an application put off with `spanledger.defer`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click

import _spanledger_boot as switch
import spanledger
from spanledger import settings as all_settings
from spanledger.deferral.drain import Drained, collect, drain, submit
from spanledger.deferral.queue import Queue
from spanledger_dashboard.format import many

_POLL_S = 30.0


@click.command()
@click.option("--batch", is_flag=True, help="Use the providers' batch APIs: half the price, within 24 hours.")
@click.option("--wait", is_flag=True, help="Go on until nothing waits any more.")
@click.option("--every", default=_POLL_S, show_default=True, metavar="SECONDS", help="How often --wait looks again.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Make so many requests at most.")
@click.option("--list", "only_list", is_flag=True, help="Show what there is, and make nothing.")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", help="Of --list.")
def command(batch: bool, wait: bool, every: float, limit: int | None, only_list: bool, shape: str) -> None:
    """Make the requests that were put off with spanledger.defer.

    \b
      spanledger drain                  # one by one, as the policy has room
      spanledger drain --wait           # until all are made
      spanledger drain --batch --wait   # by the providers' batch APIs
      spanledger drain --list

    Keys come from the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY): none is kept with a request. What it costs is
    traced, under the tags of who put it off. Exit code 1 where a request failed, or is left because there is no key for
    its provider, say: the others are made all the same.
    """
    settings = all_settings.load()
    queue = Queue(settings.home)
    if only_list:
        _list(queue, shape)
        return
    switch.switch_on()
    failed = 0
    while True:
        pause_s = every
        left: list[Drained] = []
        for one in _once(queue, batch=batch, limit=limit):
            if one.what == "left":
                left.append(one)
                continue
            _say(one)
            failed += one.what == "failed"
            if one.retry_after_s is not None:
                pause_s = min(pause_s, one.retry_after_s)
        waiting = {job.id for job in queue.jobs("waiting", "running", "batched")}
        if not wait or waiting <= {id for one in left for id in one.ids}:
            break
        time.sleep(pause_s)
    spanledger.flush()
    _say_what_waits(waiting, left)
    if failed or left:
        raise SystemExit(1)


def _say_what_waits(waiting: set[str], left: list[Drained]) -> None:
    for one in left:
        click.echo(f"{_many_are(len(one.ids), 'is', 'are')} left: {one.why}", err=True)
    if waiting:
        missing = "set what is missing, such as a key in the environment, and " if left else ""
        again = "run it again." if left else "run it again, or with --wait."
        click.echo(f"{_many_are(len(waiting), 'waits', 'wait')}; {missing}{again}", err=True)


def _many_are(count: int, one: str, more: str) -> str:
    return f"{many(count, 'request')} {one if count == 1 else more}"


def _once(queue: Queue, *, batch: bool, limit: int | None) -> Iterator[Drained]:
    yield from collect(queue)
    yield from submit(queue) if batch else drain(queue, limit)


def _say(one: Drained) -> None:
    which = many(len(one.ids), "request") if len(one.ids) > 1 else "".join(one.ids)
    click.echo(f"{which:<20} {one.what:<8} {one.why}".rstrip())


def _list(queue: Queue, shape: str) -> None:
    jobs = queue.jobs("waiting", "running", "batched", "done", "failed")
    if shape == "json":
        for job in jobs:
            row = {
                "id": job.id,
                "at": _moment(job.at_s),
                "state": job.state,
                "sdk": job.method.sdk,
                "method": job.method.path,
                "model": json.loads(job.request).get("model"),
                "tags": dict(job.tags),
                "batch": job.batch,
                "error": job.error,
            }
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    if not jobs:
        click.echo("Nothing was put off. An application does so with spanledger.defer(client.messages.create, ...).")
        return
    click.echo(f"{'id':<18}{'since':<22}{'state':<9}{'method':<26}model")
    for job in jobs:
        model = str(json.loads(job.request).get("model", ""))
        click.echo(
            f"{job.id:<18}{_moment(job.at_s):<22}{job.state:<9}{job.method.path:<26}{model}  {job.error or ''}".rstrip()
        )


def _moment(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
