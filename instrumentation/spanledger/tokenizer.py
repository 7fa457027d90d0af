"""Counting tokens as OpenAI's models do, where the extra `tokenize` is installed.

bpe-openai has its vocabularies in the wheel; tiktoken loads them from the network when they are first needed, which an
application's process must not do. It takes half a second and 70 MB to load, so that happens on the ledger's thread and
only with the first call that needs it.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from . import faults

MODULE = "bpe_openai"
MAX_CHARACTERS: Final = 1 << 20
"""Of longer texts the beginning is counted, and stands for the rest."""
_PIECE: Final = 1 << 15
"""Characters counted at once: the library refuses long texts that have no word boundary."""
_ENCODINGS: Final = (
    ("o200k_base", re.compile(r"(?:^|[/.:])(?:chatgpt-|codex-|gpt-(?:4o|4\.|[5-9]|oss)|o[1-9](?:-|$))")),
    ("cl100k_base", re.compile(r"(?:^|[/.:])(?:gpt-(?:4|3\.?5)|text-embedding-)")),
)


def count_tokens(model: str, texts: Iterable[str]) -> int | None:
    """Count the tokens of texts; None where the model's vocabulary is not known here."""
    name = next((name for name, models in _ENCODINGS if models.search(model)), None)
    late = MODULE not in sys.modules and _is_ending()
    encoding = None if name is None or late else _encoding(MODULE, name)
    if encoding is None:
        return None
    try:
        return sum(_count(encoding, text) for text in texts if text)
    except Exception as error:
        faults.report("tokens estimated from bytes, the tokenizer failed", error)
        return None


def _count(encoding: Any, text: str) -> int:
    head = text[:MAX_CHARACTERS]
    counted = sum(len(encoding.encode_ordinary(head[at : at + _PIECE])) for at in range(0, len(head), _PIECE))
    return counted * len(text) // len(head)


@lru_cache(maxsize=4)
def _encoding(module: str, name: str) -> Any:
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.import_module(module).get_encoding(name)
    except Exception as error:
        if not _is_ending():
            faults.report("tokens estimated from bytes, the tokenizer cannot be loaded", error)
        return None


def _is_ending() -> bool:
    """Tell whether the process ends: it can load nothing any more, nor has it the time."""
    return not threading.main_thread().is_alive()
