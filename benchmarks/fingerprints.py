"""CPU and bytes that fingerprints add to one call: the function alone, on prompts like those of applications.

The best of several runs, because all that can happen to such a loop is to be disturbed. `encode` is what writing the
attributes to the wire takes on the ledger's own thread; `hash` and `sketch` are on the application's.

    python benchmarks/fingerprints.py [--runs 7]
"""

from __future__ import annotations

import argparse
import base64
import json
import platform
import random
import time
import timeit
from collections.abc import Callable
from typing import Any

from spanledger import otlp
from spanledger.deployment_key import DeploymentKey
from spanledger.fingerprints import Fingerprints
from spanledger.prompts import WHOLE, Layout
from spanledger.record import Attributes, Place, Record

CHAT = Layout("messages", tools="tools")
KEY = DeploymentKey(bytes(range(32)))
SECONDS = 0.05
"""How long a run takes about."""


def texts(rng: random.Random) -> Callable[[int], str]:
    """Return what makes a text of so many characters."""
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 9))) for _ in range(3000)]
    return lambda length: " ".join(rng.choices(words, k=length // 4))[:length]


def talk(text: Callable[[int], str], messages: int, each: int) -> list[dict[str, Any]]:
    """Return a conversation."""
    return [{"role": ("user", "assistant")[place % 2], "content": text(each)} for place in range(messages)]


def agent(text: Callable[[int], str]) -> dict[str, Any]:
    """Return the request of an agent that has ten tools and has called one five times."""
    fields = {f"field_{place}": {"type": "string", "description": text(40)} for place in range(5)}
    tools = [
        {
            "type": "function",
            "function": {"name": f"tool_{place}", "parameters": {"type": "object", "properties": fields}},
        }
        for place in range(10)
    ]
    messages = [{"role": "system", "content": text(4000)}, {"role": "user", "content": text(300)}]
    for place in range(5):
        call = {"id": f"call_{place}", "type": "function", "function": {"name": "tool_1", "arguments": text(60)}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{place}", "content": text(1500)})
    return {"model": "m", "temperature": 0.2, "tools": tools, "messages": messages}


def prompts() -> dict[str, tuple[Layout, dict[str, Any]]]:
    """Return each case: where its parts stand, and the body of the request."""
    rng = random.Random(7)  # noqa: S311 - the same in every run
    text = texts(rng)
    picture = "data:image/png;base64," + base64.b64encode(rng.randbytes(1_500_000)).decode()
    look = [{"type": "text", "text": text(50)}, {"type": "image_url", "image_url": {"url": picture}}]
    system = {"role": "system", "content": text(2000)}
    return {
        "1 kB, one message": (CHAT, {"messages": talk(text, 1, 1000)}),
        "20 kB, ten messages": (CHAT, {"messages": [system, *talk(text, 9, 2000)]}),
        "an agent's: 18 kB, ten tools, five calls of one": (CHAT, agent(text)),
        "500 kB, 1000 messages": (CHAT, {"messages": talk(text, 1000, 500)}),
        "a picture of 2 MB": (CHAT, {"messages": [{"role": "user", "content": look}]}),
        "an embedding of 1 kB": (WHOLE, {"input": text(1000)}),
    }


def cost_us(work: Callable[[], object], runs: int) -> float:
    """Return the microseconds of CPU that `work` takes."""
    timer = timeit.Timer(work, timer=time.process_time)
    loops = max(1, int(SECONDS / max(timer.timeit(3) / 3, 1e-7)))
    return min(timer.repeat(runs, loops)) / loops * 1e6


def span(attributes: Attributes) -> bytes:
    """Return a span with these attributes, as bytes on the wire."""
    record = Record(name="", kind="client", place=Place(1, 1), start_ns=0, end_ns=0, attributes=attributes)
    return otlp.encode_span(record, {})


def measure(layout: Layout, body: dict[str, Any], runs: int) -> dict[str, float]:
    """Return the figures of one prompt."""
    hashes, sketches = Fingerprints(KEY), Fingerprints(KEY, sketch=True)
    made, with_sketch = hashes.of_prompt(layout, body), sketches.of_prompt(layout, body)
    encode = cost_us(lambda: span(made), runs) - cost_us(lambda: span({}), runs)
    return {
        "hash_us": round(cost_us(lambda: hashes.of_prompt(layout, body), runs), 1),
        "sketch_us": round(cost_us(lambda: sketches.of_prompt(layout, body), runs), 1),
        "encode_us": round(encode, 1),
        "wire_bytes": len(span(made)) - len(span({})),
        "wire_bytes_sketch": len(span(with_sketch)) - len(span({})),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    results = {name: measure(layout, body, runs) for name, (layout, body) in prompts().items()}
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    print(json.dumps({**machine, "per_call": results}, indent=2))


if __name__ == "__main__":
    main()
