"""Run the SDK matrix with each of the other instrumentations beside ours, in environments of their own.

Three have one already, from `benchmarks/overhead.py`; the rest are made below the cache folder. What is checked stands
in tests/integration/test_beside_others.py.

    python tools/beside_others.py [PEER...]     # all of them, or those named
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import overhead  # noqa: E402  # the folder holds scripts, and is no package

OWN = {"logfire": ("logfire==5.2.0",)}
"""Peers that the benchmark does not have."""
NATIVE = "anthropic"
"""The SDK's own spans, which need nothing more."""
NEEDED = ("click", "opentelemetry-exporter-otlp-proto-common", "pydantic", "uvicorn")


def main() -> int:
    """Make the environments that are missing, and return the exit code of the tests."""
    names = sys.argv[1:] or [*overhead.PEERS, *OWN, NATIVE]
    peers = {peer: python_of("otel" if peer == NATIVE else peer) for peer in names}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/integration/test_beside_others.py"]
    environment = {**os.environ, "SPANLEDGER_BESIDE": json.dumps(peers)}
    failed = subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603
    known = {**overhead.PEERS, **OWN, NATIVE: (f"anthropic=={version('anthropic')}",)}
    beside = {peer: known[peer] for peer in names}
    print("evidence:", json.dumps({"beside": beside, "orders": ["before", "after"], "cases of the SDK matrix": "all"}))
    return failed


def python_of(peer: str) -> str:
    """Return the interpreter of a peer's environment, with what the worker needs."""
    folder = overhead.cache_folder() / peer
    if peer not in OWN:
        overhead.python_of(peer)
    elif not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        install(folder, *OWN[peer], *(f"{name}=={version(name)}" for name in ("openai", "anthropic")))
        (folder / "complete").touch()
    if not (folder / "beside").exists():
        install(folder, *(f"{name}=={version(name)}" for name in NEEDED))
        (folder / "beside").touch()
    return str(folder / "bin" / "python")


def install(folder: Path, *packages: str) -> None:
    """Install packages into an environment."""
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
