"""Run real frameworks on top of the SDKs, in environments made for them below the cache folder.

python tools/frameworks.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FRAMEWORKS: Final = {
    "litellm": ("litellm==1.106.2", "mcp", "boto3"),
    "agents": (
        "langchain-openai==1.7.3",
        "langchain-anthropic==1.7.7",
        "openai-agents==0.24.0",
        "pydantic-ai-slim[openai,anthropic]==2.68.0",
        "openinference-instrumentation-langchain==0.1.80",
        "openinference-instrumentation-openai-agents==2.6.0",
        "opentelemetry-instrumentation-langchain==0.62.4",
        *("numpy", "ptars", "pyarrow"),
    ),
}
"""Environment to what it has."""
TESTS: Final = {
    "litellm": ("tests/frameworks_litellm.py",),
    "agents": ("tests/frameworks_agents.py", "tests/frameworks_spans.py"),
}
"""Environment to what runs in it."""
NEEDED: Final = (
    "anthropic",
    "click",
    "openai",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-sdk",
    "pytest",
    "uvicorn",
)
_SHOWN: Final = frozenset(
    {
        "anthropic",
        "openai",
        *(package.partition("==")[0].partition("[")[0] for packages in FRAMEWORKS.values() for package in packages),
    }
)


def main() -> int:
    """Make the environments that are missing, and return 1 if a test failed."""
    failed, versions = False, {}
    for name, packages in FRAMEWORKS.items():
        python = make(name, packages)
        # What frameworks and their libraries warn about is theirs to say.
        command = [python, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", *TESTS[name]]
        failed = subprocess.run(command, cwd=ROOT, check=False).returncode != 0 or failed  # noqa: S603
        versions[name] = versions_of(python)
    print("evidence:", json.dumps({"frameworks": versions}))
    return int(failed)


def make(name: str, packages: tuple[str, ...]) -> str:
    """Return the interpreter of an environment."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "spanledger" / "frameworks" / name
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet"]
    complete, wanted = folder / "complete", "\n".join((*packages, *NEEDED))
    if not complete.exists() or complete.read_text("utf-8") != wanted:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([*pip, *packages, *NEEDED], check=True)  # noqa: S603
        complete.write_text(wanted, "utf-8")
    subprocess.run([*pip, "--no-deps", "-e", ROOT], check=True)  # noqa: S603
    return str(python)


def versions_of(python: str) -> dict[str, str]:
    """Return the versions of the frameworks in an environment."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True)  # noqa: S603
    return {one["name"]: one["version"] for one in json.loads(listed.stdout) if one["name"] in _SHOWN}


if __name__ == "__main__":
    sys.exit(main())
