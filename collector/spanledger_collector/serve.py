"""The collector: the log, both doors, and the children that turn segments into rows, settle and maintain them.

The doors and the log stay in one small process that nothing heavy can slow down or crash; converting and
committing are processes of their own, which may die and be started again without a client noticing. Run
`python -m spanledger_collector.serve --help` for the command behind `spanledger collect`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from spanledger import contract
from spanledger.contract_file import read_contract
from spanledger.errors import SpanledgerError
from spanledger.lake_path import LakePath, absolute
from spanledger.settings import Settings, load, parse_billing, setting_of

from .address import Address, host_and_port, is_loopback
from .adoption import Adoption
from .auth import Access
from .disk import Disk
from .doors import Doors, open_doors
from .errors import DoorError
from .intake import Intake
from .readiness import Readiness
from .storage import beside
from .supervise import Child, ChildCommand, stop_in_order
from .terms import FLAGS, Terms
from .wal import wal_dir
from .wal_writer import Limits, WalWriter

log = logging.getLogger(__name__)

DRAIN_S: Final = 10.0
"""How long a stop waits for the children to finish what is in the log; the rest waits for the next start."""
_MOST_FILES: Final = 8192
_FILES_OF_OURS: Final = 256
"""Kept for the log and the children; the rest is for connections at both doors."""
_STRANGERS: Final = (
    "any machine that reaches it could send to it; give a --token-file, or --tls-client-ca with --tls-cert and"
    " --tls-key, or pass --allow-remote if your network keeps strangers out"
)
STAGES: Final = ("convert", "commit", "settle", "maintain")


@dataclass(frozen=True, slots=True)
class CollectorOptions:
    """What a collector is started with."""

    home: Path
    lake: LakePath
    address: Address = field(default_factory=Address)
    allow_remote: bool = False
    """Listen on an address that other machines can reach without asking them for a token or a certificate."""
    limits: Limits = field(default_factory=Limits)
    terms: Terms = field(default_factory=Terms)
    beside: tuple[ChildCommand, ...] = ()
    """Other programs to keep running as long as the collector does."""

    @classmethod
    def of(cls, settings: Settings, address: Address, *, allow_remote: bool) -> CollectorOptions:
        """Return what the settings say.

        Raises:
            AccessError: files of TLS are named that don't go together.
            ContractError: the contract can't be used.
        """
        if path := contract.named(settings):
            read_contract(path)  # for its errors: those who price read it again
        files = (settings.token_file, settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        access = Access(*(Path(name).expanduser() if name else None for name in files))
        return cls(
            settings.home,
            settings.lake,
            address,
            allow_remote,
            Limits(backlog_bytes=settings.backlog_bytes, free_bytes=settings.reserve_bytes),
            Terms(body_bytes=settings.max_body_bytes, framing=settings.check == "framing", access=access),
        )


@dataclass(frozen=True, slots=True)
class RunningCollector:
    """What `<home>/collector.json` says while a collector runs."""

    pid: int
    host: str
    grpc_port: int
    http_port: int
    lake: str
    body_bytes: int
    """Largest request."""
    token_file: str | None = None
    """Where the tokens stand of which a request needs one; None where it needs none."""
    tls_cert: str | None = None
    """The certificate that the doors show; None where they speak without TLS."""
    asks_certificate: bool = False
    """Whoever connects has to show one, too."""

    @classmethod
    def of(cls, options: CollectorOptions, address: Address) -> RunningCollector:
        """Return what this process is, with its doors at `address`."""
        access = options.terms.access
        return cls(
            os.getpid(),
            address.host,
            address.grpc_port,
            address.http_port,
            str(absolute(options.lake)),
            options.terms.body_bytes,
            _absolute(access.token_file),
            _absolute(access.tls_cert),
            access.tls_client_ca is not None,
        )


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def state_path(home: Path) -> Path:
    """Return where a running collector says what it is; the file is gone after a clean stop."""
    return home / "collector.json"


def run_collector(options: CollectorOptions) -> None:
    """Run until SIGINT or SIGTERM; a second one skips the draining.

    Raises:
        PortTakenError: another program has one of the ports.
        DoorError: the address can't be used, or strangers could reach it.
        AccessError: a file of tokens or certificates can't be used.
        WalBusyError: another collector runs on this home.
        SettingError: a setting of the stages can't be read.
    """
    parse_billing(load().billing, "SPANLEDGER_BILLING")
    host, access = options.address.host, options.terms.access
    if not (is_loopback(host) or access.is_guarded or options.allow_remote):
        raise DoorError(host, _STRANGERS)
    if not is_loopback(host) and access.token_file and not access.tls_cert:
        log.warning("tokens come over the network in the clear; give --tls-cert and --tls-key, or put TLS in front")
    most = (_allow_many_files() - _FILES_OF_OURS) // 2
    terms = replace(options.terms, connections=max(1, min(options.terms.connections, most)))
    asyncio.run(_run(replace(options, terms=terms)))


def _allow_many_files() -> int:
    """Return how many files may be open, after taking what the system gives: many begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return _MOST_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


async def _run(options: CollectorOptions) -> None:
    stops = _listen_for_stops()
    with _open_log(options) as wal:
        intake = Intake(wal)
        readiness = Readiness(intake)
        doors = await open_doors(intake, options.address, options.home, options.terms, readiness)
        adopting = asyncio.create_task(_adoption(options, intake).run())
        readiness.stages = stages = [Child(stage(name, options.home, options.lake)) for name in STAGES]
        others = [Child(command) for command in options.beside]
        with _announced(options, doors):
            await stops.get()
            print("collector: stopping (again: without waiting)", file=sys.stderr, flush=True)
            adopting.cancel()
            closing = asyncio.create_task(_close(doors, wal, stages, others))
            again = asyncio.create_task(stops.get())
            await asyncio.wait((closing, again), return_when=asyncio.FIRST_COMPLETED)
            # Stopping children that are being drained only cuts the draining short.
            if not closing.done():
                await stop_in_order([*stages, *others], timeout_s=0)
            await closing
            again.cancel()


async def _close(doors: Doors, wal: WalWriter, stages: Sequence[Child], others: Sequence[Child]) -> None:
    # The log closes after the doors, whose last requests still wait for it, and seals for the children.
    await doors.close()
    await asyncio.to_thread(wal.close)
    await asyncio.gather(stop_in_order(stages, DRAIN_S), stop_in_order(others, DRAIN_S))


def _adoption(options: CollectorOptions, intake: Intake) -> Adoption:
    return Adoption(options.home / "spool", options.home / "dead", intake)


def _listen_for_stops() -> asyncio.Queue[int]:
    stops: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stops.put_nowait, number)
    return stops


@contextlib.contextmanager
def _open_log(options: CollectorOptions) -> Iterator[WalWriter]:
    wal = WalWriter(wal_dir(options.home), options.limits, lake=beside(options.lake))
    try:
        yield wal
    finally:
        wal.close()


def stage(name: str, home: Path, lake: LakePath) -> ChildCommand:
    """Return how to start the child process that is one of `STAGES`."""
    argv = (sys.executable, "-m", f"spanledger_collector.{name}", "--home", home, "--lake", lake)
    return ChildCommand(name, tuple(str(part) for part in argv))


@contextlib.contextmanager
def _announced(options: CollectorOptions, doors: Doors) -> Iterator[None]:
    address = doors.address
    running = RunningCollector.of(options, address)
    path = state_path(options.home)
    Disk().replace(path, json.dumps(asdict(running)) + "\n")
    http, grpc = (host_and_port(address.host, port) for port in (address.http_port, address.grpc_port))
    scheme = "https" if options.terms.access.tls_cert else "http"
    line = f"collector: OTLP {scheme}://{http} grpc {grpc} lake {running.lake}"
    print(line, file=sys.stderr, flush=True)
    try:
        yield
    finally:
        # While this one drains, the next may have started on the same home.
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_bytes())["pid"] == os.getpid():
                path.unlink()


def _options(arguments: Sequence[str] | None) -> CollectorOptions:
    parser = argparse.ArgumentParser(prog="python -m spanledger_collector.serve", description="OTLP in, Parquet out.")
    default = Address()
    named = ("home", "lake", *FLAGS)
    for name in named:
        parser.add_argument(f"--{name.replace('_', '-')}", help=setting_of(name).sentence)
    parser.add_argument("--host", default=default.host)
    parser.add_argument("--grpc-port", type=int, default=default.grpc_port)
    parser.add_argument("--http-port", type=int, default=default.http_port)
    parser.add_argument("--allow-remote", action="store_true")
    flags = vars(parser.parse_args(arguments))
    address = Address(flags["host"], flags["grpc_port"], flags["http_port"])
    settings = load(**{name: flags[name] for name in named})
    return CollectorOptions.of(settings, address, allow_remote=flags["allow_remote"])


def log_to_stderr() -> None:
    """Show warnings of the collector and of the servers below it."""
    logging.basicConfig(stream=sys.stderr, format="collector: %(message)s", level=logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a collector as a program."""
    log_to_stderr()
    try:
        run_collector(_options(arguments))
    except SpanledgerError as error:
        print(f"spanledger: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
