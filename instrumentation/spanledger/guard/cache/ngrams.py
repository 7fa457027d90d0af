"""An embedder that needs no model: pieces of three and four letters, hashed; it sees spelling and no meaning.

Good enough to see in shadow how often prompts repeat nearly word by word, and to try a rule out; for meaning, name an
embedder of yours.
"""

from __future__ import annotations

import math
import zlib

DIMENSIONS = 512


def embed(text: str) -> list[float]:
    """Return a text as 512 numbers of length 1."""
    counts = [0.0] * DIMENSIONS
    plain = f" {' '.join(text.lower().split())} "
    for size in (3, 4):
        for start in range(len(plain) - size + 1):
            hashed = zlib.crc32(plain[start : start + size].encode("utf-8", "surrogatepass"))
            counts[hashed % DIMENSIONS] += 1.0 if hashed & 0x10000 else -1.0
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]
