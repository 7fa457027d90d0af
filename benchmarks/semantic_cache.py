"""How often the semantic cache would give an answer, and how often a wrong one: on pairs of questions written by hand.

30 pairs ask the same in other words, 30 ask something else in nearly the same ones (`asked/questions.tsv`). For each
threshold: the share of the first that hit, and of the second that hit falsely, by similarity alone and with the lexical
guard. The guard was written by who wrote the pairs, so it does better here than it will on others; real questions are
neither half paraphrases nor half traps. Try your own embedder, and your own pairs, before you serve.

    python benchmarks/semantic_cache.py [--embedder spanledger.guard.cache.ngrams:embed] [--pairs FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from spanledger.guard.cache.lexical import disagreement
from spanledger.guard.cache.rule import Semantic
from spanledger.guard.cache.semantic import Prompts

PAIRS = Path(__file__).parent / "asked" / "questions.tsv"
THRESHOLDS = ("0.50", "0.60", "0.70", "0.80", "0.85", "0.90", "0.95")


def measure(embedder: str, path: Path) -> dict[str, Any]:
    """Return rates in percent by threshold, and what an embedding takes."""
    prompts = Prompts(Semantic(embedder, Decimal(1)))
    lines = [line.split("\t") for line in path.read_text("utf-8").splitlines() if line]
    pairs: dict[str, list[tuple[float, bool]]] = {"same": [], "other": []}
    taken = []
    for kind, one, other in lines:
        start = time.perf_counter_ns()
        first, second = prompts.vector(one), prompts.vector(other)
        taken.append((time.perf_counter_ns() - start) / 2000)
        pairs[kind].append((float(first @ second), disagreement(one, other) is None))

    def share(kind: str, threshold: str, *, guarded: bool) -> float:
        hits = [alike >= float(threshold) and (agrees or not guarded) for alike, agrees in pairs[kind]]
        return round(100 * sum(hits) / len(hits), 1)

    return {
        "pairs": {kind: len(found) for kind, found in pairs.items()},
        "median_similarity": {kind: round(statistics.median(one for one, _ in pairs[kind]), 3) for kind in pairs},
        "embedding_us": round(statistics.median(taken), 1),
        "percent": {
            threshold: {
                "hits": share("same", threshold, guarded=False),
                "false_hits": share("other", threshold, guarded=False),
                "hits_guarded": share("same", threshold, guarded=True),
                "false_hits_guarded": share("other", threshold, guarded=True),
            }
            for threshold in THRESHOLDS
        },
        "refused_by_the_guard": {
            kind: round(100 * sum(not agrees for _, agrees in found) / len(found), 1) for kind, found in pairs.items()
        },
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", default="spanledger.guard.cache.ngrams:embed")
    parser.add_argument("--pairs", type=Path, default=PAIRS)
    options = parser.parse_args()
    found = measure(options.embedder, options.pairs)
    print(json.dumps({"python": platform.python_version(), "embedder": options.embedder, **found}, indent=2))


if __name__ == "__main__":
    main()
