"""How good forecasts are, on the 414 hourly series of the M4 competition, beside seasonal naive and statsforecast.

    git clone --depth 1 https://github.com/Mcompetitions/M4-methods ../M4-methods
    python benchmarks/forecast.py --data ../M4-methods        # or SPANLEDGER_M4=../M4-methods

Nothing of M4 is kept here. `hours` are its task: the 48 hours after each series. MASE is the mean error over that of
the day before within the series, as M4 has it; `coverage` is the share of hours in the 95 % interval; `msis` is M4's
score of intervals; `total` is the error of the sum of the 48 hours in percent. statsforecast's models are asked about
every tenth series, as they take long, and the same ones are told for ours (`every_tenth`). It comes from PyPI, in a
virtual environment made on first use below the cache folder, or named by --environment; `--peers ''` leaves it out.

`totals` are what money is forecast by: of each series (with the 48 hours) the last days are held back, and the days
before them are all that is known; `coverage` is the share of totals in the 80 % interval, `width` that interval and
`error` that of the forecast as shares of the total. How the interval is made was chosen among a dozen ways by looking
at these, and at the made-up ones; even and odd series are told apart, but neither was kept unseen. `totals_made_up` are
of series with the shape of office hours, of 15 to 59 days.

It fails if hours are forecast worse than promised (`PROMISED`).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from spanledger_analytics.forecast import forecast
from spanledger_analytics.forecast_methods import DAY, Floats, Hours, next_hours

CLONE: Final = "git clone --depth 1 https://github.com/Mcompetitions/M4-methods"
VARIABLE: Final = "SPANLEDGER_M4"
HORIZON: Final = 48
EACH: Final = 10
"""Of so many series, peers are asked about one."""
PEER: Final = Path(__file__).parent / "asked" / "statsforecast_models.py"
VERSION: Final = "2.1.1"
PROMISED: Final = {"mase": (0.0, 1.04), "coverage": (0.93, 0.97)}
TOTALS: Final = ((3, 14), (10, 20), (14, 7), (14, 14), (21, 7), (27, 14), (35, 7))
"""Days that are known, and days whose total is asked for."""
MADE_UP: Final = {
    "steady": (0.0, 0.0, 0.3),
    "steady, noisy hours": (0.0, 0.0, 1.5),
    "level wanders 5 % a day": (0.0, 0.05, 0.3),
    "grows 1 % a day": (0.01, 0.0, 0.3),
    "grows 2 % a day": (0.02, 0.0, 0.3),
}
"""Growth, steps and noise."""
Said = tuple[Floats, Floats, Floats]
"""Point, low, high."""


def read(path: Path) -> list[Floats]:
    """Return the series of one of M4's files, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return [np.array([float(value) for value in row[1:] if value not in ("", "NA")]) for row in rows]


def naive(history: Floats) -> Said:
    """Say the day before again, with the errors that this made at as many moments as ours are tried at."""
    moments = [len(history) - HORIZON - DAY * back for back in range(28)]
    errors = [
        history[at : at + HORIZON] - np.tile(history[at - DAY : at], HORIZON // DAY) for at in moments if at >= 168
    ]
    point = np.tile(history[-DAY:], HORIZON // DAY)
    low, high = np.quantile(errors, [0.025, 0.975])
    return point, point + low, point + high


def ours(history: Floats) -> Said:
    """Say what the product says."""
    said: Hours = next_hours(history, HORIZON)
    return said.point, said.low, said.high


def scores(histories: Sequence[Floats], real: Sequence[Floats], said: Iterable[Said]) -> dict[str, float]:
    """Return how good forecasts are, over all series."""
    each = np.array([_scores_of(*one) for one in zip(histories, real, said, strict=True)])
    mean, median = each.mean(axis=0), np.median(each, axis=0)
    return {
        "series": len(each),
        "mase": round(mean[0], 4),
        "mase_median": round(median[0], 4),
        "smape": round(mean[1], 2),
        "coverage": round(mean[2], 4),
        "msis": round(mean[3], 2),
        "total_median": round(median[4], 2),
        "total_mean": round(mean[4], 2),
    }


def _scores_of(history: Floats, real: Floats, said: Said) -> list[float]:
    point, low, high = (np.asarray(part) for part in said)
    scale = np.abs(history[DAY:] - history[:-DAY]).mean()
    missed = np.maximum(low - real, 0) + np.maximum(real - high, 0)
    return [
        np.abs(real - point).mean() / scale,
        np.mean(200 * np.abs(real - point) / (np.abs(real) + np.abs(point) + 1e-12)),
        np.mean((low <= real) & (real <= high)),
        np.mean(high - low + 2 / 0.05 * missed) / scale,
        abs(point.sum() - real.sum()) / real.sum() * 100,
    ]


def measured(say: Callable[[Floats], Said], histories: Sequence[Floats], real: Sequence[Floats]) -> dict[str, Any]:
    """Return the scores of what is asked here: of all series, of either half, of those that peers are asked about."""
    start = time.process_time()
    said = [say(history) for history in histories]
    cpu_ms = (time.process_time() - start) * 1000 / len(said)
    parts = {"all": (0, 1), "even": (0, 2), "odd": (1, 2), "every_tenth": (0, EACH)}
    found: dict[str, Any] = {
        name: scores(histories[first::step], real[first::step], said[first::step])
        for name, (first, step) in parts.items()
    }
    return found | {"cpu_ms": round(cpu_ms, 2)}


def measure_peers(histories: Sequence[Floats], real: Sequence[Floats], folder: Path) -> dict[str, Any]:
    """Return the scores of statsforecast's models."""
    series = [history.tolist() for history in histories[::EACH]]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    answer = json.loads(
        subprocess.run(  # noqa: S603 - our own program, in the environment that was made for it
            [folder / "bin" / "python", PEER],
            input=json.dumps({"series": series, "horizon": HORIZON}),
            env=environment | {"NIXTLA_ID_AS_COL": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
    )
    told = {
        name: scores(histories[::EACH], real[::EACH], model["said"]) | {"cpu_ms": model["cpu_ms"]}
        for name, model in answer["models"].items()
    }
    return {"version": answer["version"], "every_tenth": told}


def environment_of_peers() -> Path:
    """Return the peers' environment, making it if there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "spanledger" / "benchmarks" / "forecast"
    if not (folder / "complete").exists():
        print(f"installing statsforecast in {folder}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        wanted = f"statsforecast=={VERSION}"
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", wanted], check=True)  # noqa: S603
        (folder / "complete").touch()
    return folder


def measure_totals(series: Sequence[Floats], known: int, asked: int) -> dict[str, Any]:
    """Return how totals of some days were forecast where only so many days before them are known."""
    length = DAY * (known + asked)
    cut = [(values[-length : -DAY * asked], values[-DAY * asked :]) for values in series if len(values) >= length]
    return {"known_days": known, "asked_days": asked} | scores_of_totals(cut)


def scores_of_totals(cut: Sequence[tuple[Floats, Floats]]) -> dict[str, Any]:
    """Return how totals were forecast, of pairs of what was known and what came."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for before, after in cut:
        hours = [Decimal(repr(float(value))) for value in before]
        made = forecast(hours, now, Decimal(0), now, now + timedelta(hours=len(after)))
        point, low, high = (float(part or 0) for part in (made.forecast_usd, made.low_usd, made.high_usd))
        real = float(after.sum())
        found.append((low <= real <= high, (high - low) / real, abs(point - real) / real))
    each = np.array(found, float)
    return {
        "series": len(each),
        "coverage": round(each[:, 0].mean(), 3),
        "coverage_even": round(each[::2, 0].mean(), 3),
        "coverage_odd": round(each[1::2, 0].mean(), 3),
        "width_median": round(float(np.median(each[:, 1])), 3),
        "error_median": round(float(np.median(each[:, 2])), 4),
    }


def made_up(growth: float, steps: float, noise: float, count: int = 200) -> list[tuple[Floats, Floats]]:
    """Return office days and quiet week-ends of 15 to 59 days, and the 1 to 29 days after them.

    Args:
        growth: By which share the level grows each day.
        steps: Standard deviation of its steps from day to day, of the logarithm.
        noise: That of single hours.
        count: How many.
    """
    draw = np.random.default_rng(7)
    found = []
    for place in range(count):
        known, asked = 15 + place % 45, 1 + place % 29
        hour = np.arange(DAY * (known + asked))
        shape = (1 + 0.8 * np.sin(2 * np.pi * hour / DAY)) * np.where(hour // DAY % 7 >= 5, 0.35, 1.0)
        level = np.exp(growth * hour / DAY + np.repeat(np.cumsum(draw.normal(0, steps, known + asked)), DAY))
        values = shape * level * np.exp(draw.normal(0, noise, len(hour)))
        found.append((values[: DAY * known], values[DAY * known :]))
    return found


def measure_speed(rounds: int = 21) -> float:
    """Return the milliseconds of CPU for a month's end from 90 days of hours."""
    draw = random.Random(7)  # noqa: S311 - the same in every run
    hours = [Decimal(round(draw.gammavariate(2, 3000))) / 1000 for _ in range(90 * DAY)]
    now = datetime(2026, 11, 10, tzinfo=UTC)
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        forecast(hours, now, Decimal(100), now, now + timedelta(days=20))
        taken.append(time.process_time() - start)
    return round(statistics.median(taken) * 1000, 2)


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get(VARIABLE), help=f"M4's folder; or {VARIABLE}.")
    parser.add_argument("--peers", default="statsforecast", help="Empty: none.")
    parser.add_argument("--environment", type=Path, help="Where statsforecast is installed.")
    flags = parser.parse_args()
    files = [(flags.data or Path()) / "Dataset" / name / f"Hourly-{name.lower()}.csv" for name in ("Train", "Test")]
    if not all(file.exists() for file in files):
        parser.error(f"it needs M4's series; bring them with `{CLONE}` and say --data M4-methods")
    histories, real = map(read, files)
    whole = [np.concatenate(parts) for parts in zip(histories, real, strict=True)]
    hours = {"spanledger": measured(ours, histories, real), "seasonal naive": measured(naive, histories, real)}
    if flags.peers:
        hours["statsforecast"] = measure_peers(histories, real, flags.environment or environment_of_peers())
    found = {
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "promised": PROMISED,
        "hours": hours,
        "totals": [measure_totals(whole, known, asked) for known, asked in TOTALS],
        "totals_made_up": {name: scores_of_totals(made_up(*kind)) for name, kind in MADE_UP.items()},
        "cpu_ms_of_a_month_from_90_days": measure_speed(),
    }
    told = json.dumps(found)
    print(f"evidence: {told}" if os.environ.get("SPANLEDGER_PROVE") else json.dumps(found, indent=1))
    missed = [
        f"{name} is {score}, promised were {low} to {high}"
        for name, (low, high) in PROMISED.items()
        for score in (hours["spanledger"]["all"][name],)
        if not low <= score <= high
    ]
    if missed:
        sys.exit("; ".join(missed))


if __name__ == "__main__":
    main()
