"""How far estimated tokens are from counted ones: the estimator itself, on texts that the vocabulary counts exactly.

    python benchmarks/estimates.py [--calls 200]

Texts are pieces of this repository's pages, Python files and JSON, and of a classical Chinese text, cut by a fixed seed
to 200 to 4,000 characters. The truth is OpenAI's o200k vocabulary (the extra `tokenize`); it is switched off for the
estimator, which so has only bytes, as it has for models of others. Told are, in percent: `sum`, how far the sum of all
estimates is off (what a bill would be), and the median and 90th percentile of how far one call is off. `cold` is before
the model has had a call that was counted; `taught` is after 8 calls of the same kind; `mixed` after 8 of every kind.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import random
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from spanledger import tokenizer
from spanledger.estimate import Estimates
from spanledger.evidence import Evidence
from spanledger.texts import Texts
from spanledger.usage import Usage

ROOT: Final = Path(__file__).resolve().parent.parent
LESSONS: Final = 8
"""As many as the first ones of a model."""
CHINESE: Final = (
    "道可道，非常道。名可名，非常名。無名天地之始；有名萬物之母。故常無欲，以觀其妙；常有欲，以觀其徼。此兩者，同出而異名，同謂之玄。"  # noqa: RUF001
    "玄之又玄，眾妙之門。天下皆知美之為美，斯惡已。皆知善之為善，斯不善已。故有無相生，難易相成，長短相較，高下相傾，音聲相和，前後相隨。"  # noqa: RUF001
    "是以聖人處無為之事，行不言之教；萬物作焉而不辭，生而不有。為而不恃，功成而弗居。夫唯弗居，是以不去。上善若水。水善利萬物而不爭，"  # noqa: RUF001
    "處眾人之所惡，故幾於道。居善地，心善淵，與善仁，言善信，正善治，事善能，動善時。夫唯不爭，故無尤。"  # noqa: RUF001
)
"""The beginning of the Daodejing, written some 2,300 years ago."""


def corpus() -> dict[str, str]:
    """Return what there is to say, by kind."""
    found = {
        "English prose": sorted((ROOT / "docs").glob("*.md")),
        "Python": sorted((ROOT / "collector" / "spanledger_collector").glob("*.py")),
        "JSON": sorted((ROOT / "docs" / "evidence").glob("*.json")),
    }
    texts = {kind: "\n".join(path.read_text("utf-8") for path in paths) for kind, paths in found.items()}
    return {**texts, "Chinese": CHINESE}


def pieces(text: str, count: int, chance: random.Random) -> list[str]:
    """Return pieces of a text, of other lengths at other places."""
    longest = min(4000, len(text))
    lengths = [chance.randint(min(200, longest // 2), longest) for _ in range(count)]
    starts = [chance.randint(0, len(text) - length) for length in lengths]
    return [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def taught(lessons: list[str]) -> Estimates:
    """Return an estimator that has seen counted calls."""
    estimates = Estimates()
    for text in lessons:
        said = Usage(output_text_tokens=counted(text))
        estimates.learn("provider", "model", said, Evidence(Texts(), (text,)))
    return estimates


def counted(text: str) -> int:
    """Return the tokens of a text."""
    return len(importlib.import_module("bpe_openai").get_encoding("o200k_base").encode_ordinary(text))


def errors(estimates: Estimates, texts: list[str]) -> dict[str, float]:
    """Return how far the output of calls that nobody counted is off, in percent."""
    truth = [counted(text) for text in texts]
    guesses = [_guess(estimates, text) for text in texts]
    off = sorted(100 * abs(guess / true - 1) for guess, true in zip(guesses, truth, strict=True))
    return {
        "sum": round(100 * (sum(guesses) / sum(truth) - 1), 1),
        "median": round(statistics.median(off), 1),
        "p90": round(off[len(off) * 9 // 10], 1),
    }


def main() -> None:
    """Print a JSON object with every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="of each kind")
    flags = parser.parse_args()
    chance = random.Random(20261122)  # noqa: S311
    tokenizer.MODULE = "switched off"
    texts = {kind: pieces(text, flags.calls, chance) for kind, text in corpus().items()}
    lessons = {kind: pieces(text, LESSONS, chance) for kind, text in corpus().items()}
    every = taught([text for some in lessons.values() for text in some])
    found: dict[str, Any] = {
        kind: {
            "cold": errors(Estimates(), some),
            "taught": errors(taught(lessons[kind]), some),
            "mixed": errors(every, some),
        }
        for kind, some in texts.items()
    }
    print(json.dumps({**found, "python": platform.python_version(), "bpe-openai": version("bpe-openai")}, indent=1))


def _guess(estimates: Estimates, text: str) -> int:
    found = estimates.complete("provider", "model", "model", Usage(state="missing"), Evidence(Texts(), (text,)))
    if found is None:
        raise SystemExit("nothing was estimated of a text")
    return found[0].output_tokens


if __name__ == "__main__":
    main()
