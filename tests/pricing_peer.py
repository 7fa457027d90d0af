"""Times one call of a peer's price library; run by pricing.py with the peer's own Python, told what on stdin."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from typing import Any


def genai_prices(wanted: dict[str, Any]) -> Callable[[str, str], object]:
    """Return one call of genai-prices."""
    from genai_prices import Usage, calc_price

    usage, at = Usage(**wanted["call"]), datetime.fromisoformat(wanted["at"])
    return lambda provider, model: (
        calc_price(usage, model_ref=model, provider_id=provider, genai_request_timestamp=at).total_price
    )


def litellm(wanted: dict[str, Any]) -> Callable[[str, str], object]:
    """Return one call of litellm, by its name of the provider."""
    from litellm import cost_per_token

    names = {"google": "gemini", "x-ai": "xai"}
    call = wanted["call"]
    return lambda provider, model: cost_per_token(
        model=model,
        custom_llm_provider=names.get(provider, provider),
        prompt_tokens=call["input_tokens"],
        completion_tokens=call["output_tokens"],
        cache_read_input_tokens=call["cache_read_tokens"],
    )


def main() -> None:
    """Print a line of JSON: microseconds a call, by the clock and of CPU, and the models that the peer doesn't know."""
    wanted = json.load(sys.stdin)
    call = {"genai-prices": genai_prices, "litellm": litellm}[wanted["peer"]](wanted)
    known, unknown = [], []
    for provider, model in wanted["models"]:
        try:
            call(provider, model)
            known.append((provider, model))
        except Exception as error:
            unknown.append(f"{provider}/{model}: {type(error).__name__}")
    walls, cpus = [], []
    for number in range(wanted["rounds"] + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(wanted["loops"]):
            for provider, model in known:
                call(provider, model)
        if number:
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    calls = wanted["loops"] * len(known)
    medians = {
        name: round(statistics.median(all_) / calls * 1e6, 2) for name, all_ in (("us", walls), ("cpu_us", cpus))
    }
    print(json.dumps({"version": version(wanted["peer"]), **medians, "unknown": unknown}))


if __name__ == "__main__":
    main()
