"""Run the long forms of the checks, and keep what they showed in docs/evidence, one JSON file for each.

A check is a command that fails when its promise does not hold; what it measured is what it prints as a line of JSON
that starts with `evidence: `. The date, the versions and the machine are added here.

    python tools/prove.py [NAME...]     # all of them, or those named

Those on data that have to be brought take part in all only where their variable says where the data are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
EVIDENCE: Final = ROOT / "docs" / "evidence"
PACKAGES: Final = ("spanledger", "openai", "anthropic", "google-genai", "botocore", "httpx2", "opentelemetry-sdk")
_PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider")
CHECKS: Final[dict[str, tuple[str, ...]]] = {
    "anomalies": (sys.executable, "benchmarks/anomalies.py"),
    "frameworks": (sys.executable, "tools/frameworks.py"),
    "beside-others": (sys.executable, "tools/beside_others.py"),
    "commits": (sys.executable, "benchmarks/commits.py", "--commits", "10000"),
    "commits-of-a-day": (sys.executable, "benchmarks/commits.py", "--commits", "86400"),
    "concurrency": (*_PYTEST, "tests/integration/test_concurrency.py"),
    "dashboard": (sys.executable, "benchmarks/dashboard.py"),
    "dashboard-alone": (sys.executable, "benchmarks/dashboard.py", "--no-peers"),
    "forecast": (sys.executable, "benchmarks/forecast.py"),
    "full-disk": (*_PYTEST, "tests/crash/test_full_disk.py"),
    "fuzz": (*_PYTEST, "tests/crash/test_fuzz.py"),
    "guard": (sys.executable, "benchmarks/guard.py"),
    "guard-collector-away": (sys.executable, "tools/collector_away.py"),
    "guard-collector-away-an-hour": (sys.executable, "tools/collector_away.py", "--minutes", "60"),
    "guard-kills": (*_PYTEST, "tests/crash/test_guard_kill.py"),
    "guard-model": (*_PYTEST, "tests/unit/test_guard_model.py"),
    "growth": (sys.executable, "benchmarks/queries.py", "--growth", "--full", "--root-tags", "0"),
    "ingest": (sys.executable, "benchmarks/ingest.py"),
    "kills": (*_PYTEST, "tests/crash/test_kill.py", "tests/crash/test_fault_points.py"),
    "maintain": (*_PYTEST, "tests/crash/test_jobs.py", "tests/crash/test_rewriting.py"),
    "matrix-newest": (*_PYTEST, "tests/integration/test_matrix.py"),
    "matrix-oldest": (sys.executable, "tools/oldest_sdks.py"),
    "overhead": (sys.executable, "benchmarks/overhead.py", "--rounds", "8"),
    "overhead-features": (sys.executable, "benchmarks/overhead.py", "--features", "--rounds", "8"),
    "pricing-speed": (sys.executable, "benchmarks/pricing.py"),
    "pricing": (*_PYTEST, "tests/unit/test_pricing_sql.py"),
    "prices": (*_PYTEST, "tests/unit/test_prices_oracle.py", "tests/unit/test_pricing_rows.py"),
    "queries": (sys.executable, "benchmarks/queries.py", "--full", "--root-tags", "0", "--patience", "12"),
    "reports": (sys.executable, "benchmarks/reports.py", "--full", "--root-tags", "0"),
    "repricing": (sys.executable, "benchmarks/repricing.py"),
    "rollups": (*_PYTEST, "tests/unit/test_rollups.py"),
    "sandbox": (*_PYTEST, "tests/integration/test_sandbox.py", "tests/integration/test_scope.py"),
    "soak": (*_PYTEST, "tests/crash/test_soak.py"),
    "writers": (*_PYTEST, "tests/integration/test_object_store.py", "-k", "side_by_side"),
}
BROUGHT: Final = {"anomalies": "SPANLEDGER_NAB", "forecast": "SPANLEDGER_M4"}
"""Checks on data that have to be brought, and the variable that says where they are."""
_TOLD: Final = re.compile(r"[.sxF]*evidence: (\{.*\})$")
"""Behind the characters that pytest writes for tests."""
_RESULT: Final = re.compile(r"\d+ passed(?:, \d+ (?:deselected|skipped|xfailed))*(?=.* in \d)")
"""What pytest says at its end."""


def main() -> int:
    """Run the checks; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CHECKS))
    names = parser.parse_args().names or [name for name in CHECKS if BROUGHT.get(name, "PATH") in os.environ]
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        parser.error(f"no check named {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    return max([prove(name) for name in names])


def prove(name: str) -> int:
    """Run one check, and keep what it showed if it passed."""
    print(f"== {name}", flush=True)
    start = time.monotonic()
    measured: dict[str, Any] = {}
    results: list[str] = []
    environment = {**os.environ, "SPANLEDGER_PROVE": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(CHECKS[name], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        for line in process.stdout or ():
            print(line, end="", flush=True)
            told = _TOLD.match(line)
            measured.update(json.loads(told[1]) if told else {})
            if not told and (said := _RESULT.search(line)):
                results.append(said[0])
    if process.returncode == 0:
        keep(name, results, measured, time.monotonic() - start)
    return int(process.returncode != 0)


def keep(name: str, results: list[str], measured: dict[str, Any], seconds: float) -> None:
    """Write the evidence of a check."""
    EVIDENCE.mkdir(exist_ok=True)
    told = {
        "check": name,
        "command": f"python tools/prove.py {name}",
        "date": datetime.now(UTC).date().isoformat(),
        "result": "; ".join(results),
        "seconds": round(seconds),
        "measured": measured,
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    (EVIDENCE / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
