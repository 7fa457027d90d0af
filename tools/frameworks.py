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
        "langchain-openai",
        "langchain-anthropic",
        "openai-agents",
        "pydantic-ai-slim[openai,anthropic]",
    ),
}
"""Environment, which is also the end of the tests' name, to what it has."""
NEEDED: Final = (
    "anthropic",
    "click",
    "openai",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-sdk",
    "pytest",
    "uvicorn",
)
_SHOWN: Final = ("litellm", "langchain-openai", "langchain-anthropic", "openai-agents", "pydantic-ai-slim", "openai")


def main() -> int:
    """Make the environments that are missing, and return 1 if a test failed."""
    failed, versions = False, {}
    for name, packages in FRAMEWORKS.items():
        python = make(name, packages)
        tests = f"tests/frameworks_{name}.py"
        # What frameworks and their libraries warn about is theirs to say.
        command = [python, "-m", "pytest", "-q", "-W", "default", "-p", "no:cacheprovider", tests]
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
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([*pip, *packages, *NEEDED], check=True)  # noqa: S603
        (folder / "complete").touch()
    subprocess.run([*pip, "--no-deps", "-e", ROOT], check=True)  # noqa: S603
    return str(python)


def versions_of(python: str) -> dict[str, str]:
    """Return the versions of the frameworks in an environment."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], capture_output=True, check=True)  # noqa: S603
    return {one["name"]: one["version"] for one in json.loads(listed.stdout) if one["name"] in _SHOWN}


if __name__ == "__main__":
    sys.exit(main())
