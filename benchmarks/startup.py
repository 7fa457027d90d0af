"""CPU that the switch adds to the start of an interpreter: absent, off, on, and on with the openai SDK.

Each case is a whole process, `python -S` plus `site.addsitedir` of a folder that holds what an installation puts into
site-packages, so that "absent" differs from "off" by our .pth alone. The cases are run in turn, so that a machine that
slows down slows all of them. Prints JSON: median, minimum and maximum of CPU milliseconds, and the differences.

    python benchmarks/startup.py [--runs 40]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "instrumentation"
START = "import site; site.addsitedir({folder!r}); {then}"


def make_folders(base: Path) -> tuple[Path, Path]:
    """Return a folder without and one with what an installation adds; both see the installed libraries."""
    absent, present = base / "absent", base / "present"
    for folder in (absent, present):
        folder.mkdir()
    for name in ("_spanledger_boot.py", "spanledger_autoload.pth"):
        shutil.copy(ROOT / name, present / name)
    return absent, present


def cpu_ms(code: str, environment: dict[str, str]) -> float:
    """Run a process to its end and return its user and system time in milliseconds."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-S", "-c", code], environment)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"failed: {code}")
    return (usage.ru_utime + usage.ru_stime) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    runs = parser.parse_args().runs
    libraries = [sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"], str(ROOT)]
    plain = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": os.pathsep.join(libraries)}
    on = {**plain, "SPANLEDGER_ENABLED": "1"}
    with tempfile.TemporaryDirectory() as base:
        absent, present = make_folders(Path(base))
        cases = {
            "absent": (START.format(folder=str(absent), then="pass"), plain),
            "off": (START.format(folder=str(present), then="pass"), plain),
            "on": (START.format(folder=str(present), then="pass"), on),
            "openai, absent": (START.format(folder=str(absent), then="import openai"), plain),
            "openai, off": (START.format(folder=str(present), then="import openai"), plain),
            "openai, on": (START.format(folder=str(present), then="import openai"), on),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        for number in range(runs + 1):
            for name, (code, environment) in cases.items():
                taken = cpu_ms(code, environment)
                if number:  # the first round warms the disk cache
                    times[name].append(taken)
    print(json.dumps(report(times), indent=1))


def report(times: dict[str, list[float]]) -> dict[str, object]:
    """Return what is printed."""
    median = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        "cpu_ms": {
            name: {"median": round(median[name], 2), "min": round(min(taken), 2), "max": round(max(taken), 2)}
            for name, taken in times.items()
        },
        "added_ms": {
            "off": round(median["off"] - median["absent"], 2),
            "on": round(median["on"] - median["absent"], 2),
            "off, openai imported": round(median["openai, off"] - median["openai, absent"], 2),
            "on, openai imported": round(median["openai, on"] - median["openai, absent"], 2),
        },
        "runs": len(times["off"]),
        "python": platform.python_version(),
        "openai": version("openai"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


if __name__ == "__main__":
    main()
