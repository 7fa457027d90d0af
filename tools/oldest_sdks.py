"""Run the SDK matrix, batches and live connections on the oldest SDKs, in an environment made for it in the cache.

In the environment of the other tests are the newest; a process can hold one version only.

    python tools/oldest_sdks.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = ("openai[realtime]==2.0.0", "anthropic[bedrock]==0.80.0")
TESTS = (
    "test_matrix",
    "test_paid_later",
    "test_instrumentation_live",
    "test_instrumentation_clouds",
    "test_cached_answers",
    "test_response_cache",
)
NEEDED = (
    "click",
    "numpy",
    "opentelemetry-api",
    "opentelemetry-proto",
    "opentelemetry-sdk",
    "pydantic",
    "pytest",
    "uvicorn",
)


def main() -> int:
    """Make the environment if there is none, and return the exit code of the tests."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "spanledger" / "matrix" / "-".join(OLDEST)
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *OLDEST, *NEEDED], check=True)  # noqa: S603
        (folder / "complete").touch()
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", ROOT], check=True)  # noqa: S603
    # Old SDKs warn about new interpreters and libraries, which is theirs to say.
    tests = [
        python,
        "-m",
        "pytest",
        "-q",
        "-W",
        "default",
        "-p",
        "no:cacheprovider",
        *(f"tests/integration/{name}.py" for name in TESTS),
    ]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
