"""Peers of the dashboard: each in a virtual environment of its own, made on first use, and fed the spans of a lake.

What a peer stored is kept in the cache folder for the day: taking 10,000 traces takes it minutes, and its pages count
back from now.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from made.files import LAST
from queries import cache_folder
from shown.otlp import requests
from shown.processes import Server

PEERS: Final = {"arize-phoenix": "20.26.1", "mlflow": "3.17.2"}
BUSY: Final = (429, 503)
PATIENCE_S: Final = 60


def bare_environment(more: dict[str, str]) -> dict[str, str]:
    """Return an environment in which a peer sees its own packages only."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def installed(name: str) -> Path:
    """Return the folder of a peer's programs, making its virtual environment if there is none."""
    folder = cache_folder() / f"dashboard-{name}"
    if not (folder / "complete").exists():
        say(f"installing {name} in {folder}")
        venv.create(folder, with_pip=True, clear=True)
        wanted = f"{name}=={PEERS[name]}"
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", wanted], check=True)  # noqa: S603
        (folder / "complete").touch()
    return folder / "bin"


def store_of(name: str, lake: Path) -> Path:
    """Return the folder in which a peer keeps a lake's spans; of today only, because its pages count back from now."""
    store = cache_folder() / f"dashboard-{name}-{PEERS[name]}" / lake.name
    sent = store / "sent.json"
    if not (sent.exists() and json.loads(sent.read_text("utf-8"))["on"] == today()):
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir(parents=True)
    return store


def send(server: Server, lake: Path, store: Path) -> None:
    """Send a peer the spans of a lake, moved to end yesterday, unless it has them."""
    sent = store / "sent.json"
    if sent.exists():
        return
    say(f"sending spans to {store.parent.name}")
    start = time.monotonic()
    later = timedelta(days=(datetime.now(UTC).date() - LAST).days - 1)
    for body in requests(lake, later):
        post(f"{server.address}/v1/traces", body)
    sent.write_text(json.dumps({"on": today(), "seconds": round(time.monotonic() - start)}) + "\n", "utf-8")


def post(address: str, body: bytes) -> None:
    """Send one request, again while the peer says that it is busy."""
    headers = {"content-type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=PATIENCE_S).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code not in BUSY:
                raise
            time.sleep(0.5)
        else:
            return


def today() -> str:
    """Return the date, UTC."""
    return datetime.now(UTC).date().isoformat()


def say(what: str) -> None:
    """Tell on stderr what is being done."""
    print(f"dashboard: {what}", file=sys.stderr, flush=True)
