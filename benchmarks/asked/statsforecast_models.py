"""Forecast by statsforecast's models, in an environment of its own: series as JSON on stdin, forecasts on stdout."""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
from statsforecast import models

DAY, WEEK = 24, 168
MODELS = {
    "seasonal naive": lambda: models.SeasonalNaive(DAY),
    "MSTL + AutoETS": lambda: models.MSTL([DAY, WEEK], trend_forecaster=models.AutoETS(model="ZZN")),
    "dynamic optimized theta": lambda: models.DynamicOptimizedTheta(DAY),
    "AutoETS": lambda: models.AutoETS(DAY),
}


def forecast(make: Any, series: list[list[float]], horizon: int) -> dict[str, Any]:
    """Return what a model says about each series, and the CPU that it took for one in milliseconds."""
    warm = np.array(series[0])
    make().forecast(y=warm, h=horizon, level=[95])
    start = time.process_time()
    found = [make().forecast(y=np.array(values), h=horizon, level=[95]) for values in series]
    cpu_ms = (time.process_time() - start) * 1000 / len(series)
    said = [[one[name].tolist() for name in ("mean", "lo-95", "hi-95")] for one in found]
    return {"said": said, "cpu_ms": round(cpu_ms, 1)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asked = json.load(sys.stdin)
    answer = {name: forecast(make, asked["series"], asked["horizon"]) for name, make in MODELS.items()}
    print(json.dumps({"version": version("statsforecast"), "models": answer}))
