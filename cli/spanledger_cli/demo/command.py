"""`spanledger demo`: everything at once on this machine, with no key and no network.

Nothing is faked but the other end of the wire: real SDKs in their own process, the real collector, the real lake,
the real dashboard. Its lake and state are its own, so it can be thrown away.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from spanledger_cli import lakes
from spanledger_cli.attached import attached
from spanledger_cli.collect import PORT
from spanledger_collector.serve import state_path

from . import history, people
from .errors import HistoryError, LateError
from .ports import HOST, Ports, claim
from .processes import Child, Children
from .progress import counting, say
from .provider import LocalProvider
from .starting_file import write_starting_file
from .summary import count_missing, show, summarise

START_S: Final = 60.0
QUERYABLE_S: Final = 180.0
PROVIDER_DELAY_S: Final = 0.02
FAULT_RATE: Final = 0.06
_QUESTION: Final = "select feature, sum(cost_usd) as usd from llm_calls group by feature order by usd desc"


@dataclass(frozen=True, slots=True)
class Environment:
    """One deployment of the sample agents."""

    name: str
    rounds: int
    """Of every agent, before the summary."""
    pause_s: float
    """Between agents afterwards; each makes two or three calls."""


ENVIRONMENTS: Final = (Environment("production", 4, 1.4), Environment("staging", 1, 12.0))


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run of the demo works."""

    lake: Path
    home: Path
    ports: Ports
    seed: int

    @property
    def endpoint(self) -> str:
        """The collector's OTLP/HTTP address."""
        return f"http://{HOST}:{self.ports.http}"


@click.command()
@click.option("--once", is_flag=True, help="No dashboard; print the summary when the last span is queryable, and end.")
@click.option("--lake", type=click.Path(path_type=Path), help="Lake to fill; default: lake in the demo's folder.")
@click.option("--home", type=click.Path(path_type=Path), help="Logs and state; default: home in the demo's folder.")
@click.option("--grpc-port", type=PORT, default=4317, show_default=True, help="OTLP/gRPC; 0 takes a free port.")
@click.option("--http-port", type=PORT, default=4318, show_default=True, help="OTLP/HTTP; 0 takes a free port.")
@click.option("--dashboard-port", type=PORT, default=8501, show_default=True, help="Dashboard; 0 takes a free port.")
@click.option("--seed", type=int, default=7, show_default=True, help="Other seed, other history.")
def command(
    once: bool,
    lake: Path | None,
    home: Path | None,
    grpc_port: int,
    http_port: int,
    dashboard_port: int,
    seed: int,
) -> None:
    """See everything at once: no key, no network, a lake of its own.

    Starts a local provider that speaks the OpenAI and Anthropic protocols, the collector and the dashboard, sends
    30 days of history, and lets sample agents run on the real SDKs. Ctrl-C ends all of it.

    \b
      spanledger demo
      spanledger demo --once                     the summary only, in about 20 s
      spanledger demo --grpc-port 0 --http-port 0 --dashboard-port 0

    A second run adds no history twice. To start over, remove the demo's folder: spanledger/demo in the user-data
    folder. Your own lake and settings (SPANLEDGER_*, OTEL_*) are not touched.
    """
    own = lakes.demo_folder()
    ports = claim(grpc_port, http_port, None if once else dashboard_port)
    place = Place((lake or own / "lake").absolute(), (home or own / "home").absolute(), ports, seed)
    lakes.make_folder(place.home, "--home")
    lakes.make_folder(place.lake, "--lake")
    write_starting_file("policy.toml", place.home)
    started = datetime.now(UTC)
    provider = LocalProvider(fault_rate=FAULT_RATE, delay_s=PROVIDER_DELAY_S, bill=place.home / "bill.jsonl")
    with _stops_like_ctrl_c(), provider, Children(place.home / "logs") as children:
        _fill(place, children, provider)
        show(summarise(place.lake, provider.billed, started), sys.stdout)
        if once:
            _say_next(place)
        else:
            _stay(place, children, provider)


def _fill(place: Place, children: Children, provider: LocalProvider) -> None:
    """Start the parts, send the history, run the agents once, and wait until all of it can be asked for."""
    say(f"the local provider is at {provider.url}")
    collector = _start_collector(place, children)
    if place.ports.dashboard is not None:
        _start_dashboard(place, children, place.ports.dashboard)
    last_span = _send_history(place, collector)
    say("agents are running, on the real openai and anthropic SDKs")
    agents = [
        _start_agents(place, children, provider.url, environment, environment.rounds, 0.0)
        for environment in ENVIRONMENTS
    ]
    for child in agents:
        child.wait_done(START_S * 5)
        children.forget(child)
    say("waiting until the last span can be asked for")
    _wait_queryable(place, collector, [call.response_id for call in provider.billed if call.response_id], last_span)
    # Not before: what budgets had used before the last hour is asked once a quarter of an hour.
    write_starting_file("alerts.toml", place.home)


def _start_collector(place: Place, children: Children) -> Child:
    ports = place.ports
    argv = [sys.executable, "-m", "spanledger_cli", "collect", "--lake", str(place.lake), "--home", str(place.home)]
    argv += ["--grpc-port", str(ports.grpc), "--http-port", str(ports.http)]
    # Nobody waits ten minutes in a demo, and its history is whole from the start.
    env = {**_clean_env(), "SPANLEDGER_SETTLE_AFTER_S": "5"}
    collector = children.start("collector", attached(argv), env, place.home)

    def is_ready() -> bool:
        # The state file of a collector that was killed names another process.
        with contextlib.suppress(OSError, ValueError):
            state = json.loads(state_path(place.home).read_text())
            return bool(state["pid"] == collector.process.pid)
        return False

    collector.wait_ready(is_ready, START_S)
    say(f"the collector takes OTLP at {place.endpoint} and grpc {HOST}:{ports.grpc}; lake {place.lake}")
    return collector


def _start_dashboard(place: Place, children: Children, port: int) -> None:
    from spanledger_dashboard import server

    env = {**_clean_env(), "SPANLEDGER_HOME": str(place.home)}
    dashboard = children.start("dashboard", attached(server.command(place.lake, port)), env, place.home)
    dashboard.wait_ready(_answers(port, "/_stcore/health"), START_S)
    say(f"the dashboard is at http://{HOST}:{port}")


def _start_agents(
    place: Place, children: Children, provider_url: str, environment: Environment, rounds: int, pause_s: float
) -> Child:
    argv = [sys.executable, "-m", "spanledger_cli.demo.agents", "--base-url", provider_url]
    argv += ["--rounds", str(rounds), "--pause", str(pause_s), "--seed", str(place.seed + len(environment.name))]
    env = {
        **_clean_env(),
        "SPANLEDGER_ENABLED": "1",
        "SPANLEDGER_ENDPOINT": place.endpoint,
        "SPANLEDGER_HOME": str(place.home),
        "SPANLEDGER_ENVIRONMENT": environment.name,
        "OTEL_SERVICE_NAME": people.SERVICE,
    }
    return children.start(f"{environment.name} agents", attached(argv), env, place.home)


def _send_history(place: Place, collector: Child) -> str:
    """Send the history; return the id of its last span."""
    batches = list(history.make_batches(place.seed, datetime.now(UTC)))
    with counting("sending 30 days of history, spans", sum(batch.spans for batch in batches)) as count:
        try:
            history.send(batches, place.endpoint, count)
        except OSError as error:
            collector.check()
            raise HistoryError(place.endpoint, str(error)) from error
    return batches[-1].last_span_id


def _wait_queryable(place: Place, collector: Child, responses: list[str], last_span: str) -> None:
    started = time.monotonic()
    while missing := count_missing(place.lake, responses, [last_span]):
        collector.check()
        waited_s = time.monotonic() - started
        if waited_s > QUERYABLE_S:
            raise LateError(missing, waited_s, collector.log)
        time.sleep(0.25)


def _stay(place: Place, children: Children, provider: LocalProvider) -> None:
    """Keep agents working until Ctrl-C."""
    for environment in ENVIRONMENTS:
        _start_agents(place, children, provider.url, environment, 0, environment.pause_s)
    click.echo(f"\nDashboard: http://{HOST}:{place.ports.dashboard}")
    click.echo(f"Questions: {_question(place)}")
    try:
        say("agents keep working; Ctrl-C ends everything")
        while True:
            children.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("stopping")


def _say_next(place: Place) -> None:
    say(f"ask it: {_question(place)}")
    say("see it: spanledger demo, without --once, starts the dashboard, too")


def _question(place: Place) -> str:
    return f'spanledger sql --lake "{place.lake}" "{_QUESTION}"'


def _answers(port: int, path: str) -> Callable[[], bool]:
    def is_ready() -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    return is_ready


def _clean_env() -> dict[str, str]:
    """Return the environment without the user's own settings, and without a proxy between the parts."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SPANLEDGER_", "OTEL_"))}
    return {**kept, "NO_PROXY": HOST, "no_proxy": HOST}


def _interrupt(_number: int, _frame: object) -> None:
    # Not by raising SIGINT: a shell starts a job in the background with that ignored.
    raise KeyboardInterrupt


@contextlib.contextmanager
def _stops_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a closed terminal, end the demo as Ctrl-C does, children included."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
