"""An embedder for semantic_cache.py: word vectors whose 16 MB of weights come in its wheel (pip install wordllama)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _model() -> Any:
    """Load the model by hand: `WordLlama.load` looks for its tokenizer on the network."""
    found = find_spec("wordllama")
    if found is None or found.origin is None:
        raise SystemExit("needs `pip install wordllama`")
    folder = Path(found.origin).parent
    with import_module("safetensors").safe_open(
        folder / "weights" / "l2_supercat_256.safetensors", framework="np"
    ) as file:
        weights = file.get_tensor("embedding.weight")
    words = import_module("tokenizers").Tokenizer.from_file(
        str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )
    return import_module("wordllama.inference").WordLlamaInference(weights, words)


_MODEL = _model()


def embed(text: str) -> Sequence[float]:
    """Return a text as 256 numbers."""
    found: Sequence[float] = _MODEL.embed(text)[0]
    return found
