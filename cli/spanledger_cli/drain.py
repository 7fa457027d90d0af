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
    traced, under the tags of who put it off. Exit code 1 where a request failed.
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
        for one in _once(queue, batch=batch, limit=limit):
            _say(one)
            failed += one.what == "failed"
            if one.retry_after_s is not None:
                pause_s = min(pause_s, one.retry_after_s)
        left = queue.jobs("waiting", "running", "batched")
        if not wait or not left:
            break
        time.sleep(pause_s)
    spanledger.flush()
    if left:
        click.echo(f"{len(left):,} requests wait; run it again, or with --wait.", err=True)
    if failed:
        raise SystemExit(1)


def _once(queue: Queue, *, batch: bool, limit: int | None) -> Iterator[Drained]:
    yield from collect(queue)
    yield from submit(queue) if batch else drain(queue, limit)


def _say(one: Drained) -> None:
    many = f"{len(one.ids):,} requests" if len(one.ids) > 1 else "".join(one.ids)
    click.echo(f"{many:<20} {one.what:<8} {one.why}".rstrip())


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
