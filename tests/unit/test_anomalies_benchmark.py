"""The benchmark of the detector reads a checkout of NAB rightly, and counts alerts rightly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import anomalies

ROOT = Path(__file__).resolve().parents[2]
NAME = "realAdExchange/small.csv"
READINGS = """timestamp,value
2026-03-01 10:05:00,1.0
2026-03-01 10:35:00,3.0
2026-03-01 12:00:00,5.0
2026-03-01 13:59:59,7.0
"""


def a_checkout(folder: Path) -> Path:
    (folder / "labels").mkdir()
    (folder / "data" / "realAdExchange").mkdir(parents=True)
    (folder / "data" / NAME).write_text(READINGS, "utf-8")
    marked = {NAME: [["2026-03-01 12:10:00.000000", "2026-03-01 13:10:00.000000"]]}
    (folder / "labels" / "combined_windows.json").write_text(json.dumps(marked), "utf-8")
    return folder


def test_readings_become_hourly_means_and_hours_without_any_stay_unknown(tmp_path: Path) -> None:
    [series] = anomalies.load(a_checkout(tmp_path))
    np.testing.assert_array_equal(series.values, [2.0, np.nan, 5.0, 7.0])
    assert (series.name, series.windows) == (NAME, ((2, 3),))


def test_an_alert_is_right_if_its_first_hour_is_in_a_window() -> None:
    scores = np.zeros(400)
    scores[[30, 100, 102, 120, 200, 224, 300]] = 2.0  # in probation; one alert, wrong; one, right and found; one wrong
    series = anomalies.Series("one", scores, ((110, 130), (195, 210), (350, 360)))
    assert series.probation == 60
    assert anomalies.alerts([series], {"one": scores}, 1.5) == {
        "precision": 0.33,
        "recall": 0.67,
        "f1": 0.44,
        "false_alerts_a_week": round(2 / (340 / 168), 2),
    }


def test_without_nab_it_says_how_to_bring_it() -> None:
    program = [sys.executable, str(ROOT / "benchmarks" / "anomalies.py"), "--data", "/nowhere"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=180)
    assert (done.returncode, done.stdout) == (2, "")
    assert "bring it by `git clone --depth 1 https://github.com/numenta/NAB ../NAB`" in done.stderr
