"""What a row of times comes to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shown.browser import Times


def spread(times: Sequence[Times]) -> dict[str, float]:
    """Return median and 95th percentile of the milliseconds until it stood there."""
    shown = [one["shown"] for one in times]
    return {
        "p50_ms": round(float(np.percentile(shown, 50))),
        "p95_ms": round(float(np.percentile(shown, 95))),
        "runs": len(times),
    }


def figures(times: Sequence[Times]) -> dict[str, float]:
    """Return the spread, and the medians of when the server's last message came and of the bytes of all of them."""
    # Of a step whose messages had all come before the click was seen, none was the last.
    last = [one["last"] for one in times if np.isfinite(one["last"])]
    return {
        **spread(times),
        "to_last_message_p50_ms": round(float(np.percentile(last, 50))) if last else float("nan"),
        "bytes_p50": round(float(np.percentile([one["bytes"] for one in times], 50))),
    }
