"""How numbers and foreign text are written, once for all pages.

Text from spans is written by strangers. It is shown as text everywhere: `visible` makes control and direction
marks readable, `markdown` and `figure_text` take away the meaning it could have in Streamlit's Markdown (images,
links, colours, formulas) and in Plotly's tags.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from math import floor
from typing import Final

NO_PRICE: Final = "no price"
LONG: Final = 80
"""Characters after which foreign text is cut."""
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
_LINKED: Final = re.compile(r"(\S*(?:://|@|www\.|:(?:\w*[A-Za-z]\w*|100|1234|[+-]1):)\S*)")
_KEPT_FORMAT: Final = frozenset("\u200d")
"""Joins emoji; everything else of its category is invisible or turns text around."""
_FROM_NOTHING: Final = 100
"""So many times what it was: a percentage of that is no measure of anything."""


def usd(amount: Decimal | float | None, places: int | None = None) -> str:
    """Write dollars as a person reads them; `places` fixes the decimals, None is an unknown price."""
    if amount is None:
        return NO_PRICE
    value = Decimal(amount) if isinstance(amount, Decimal) else Decimal(str(amount))
    sign, size = ("-", -value) if value < 0 else ("", value)
    return f"{sign}{_size(size, places)}"


def _size(size: Decimal, places: int | None) -> str:
    if size == 0:
        return "$0"
    if places is not None:
        shown = _round(size, places)
        return f"${shown:,}" if shown else f"<${Decimal(1).scaleb(-places)}"
    if size < Decimal("0.0001"):
        return "<$0.0001"
    if size < Decimal("0.01"):
        return f"${_round(size, 4)}"
    if size < 1:
        return f"${_round(size, 3)}"
    if size < 10_000:
        return f"${_round(size, 2):,}"
    if size < 1_000_000:
        return f"${_round(size / 1000, 1):,}k"
    return f"${_round(size / 1_000_000, 2):,}M"


def _round(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def usd_exact(amount: Decimal | None) -> str:
    """Write every digit that was booked."""
    if amount is None:
        return NO_PRICE
    text = f"{amount:f}"
    return f"${text.rstrip('0').rstrip('.') if '.' in text else text}"


def price(amount: Decimal | None) -> str:
    """Write the price of a million tokens or a unit, in full: $10, $2.50, $0.075."""
    if amount is None:
        return NO_PRICE
    short = amount.normalize()
    places = max(0, -int(short.as_tuple().exponent))
    return f"${amount:,.{2 if places == 1 else places}f}"


def count(number: float | None) -> str:
    """Write a count of tokens or requests: 733, 9,876, 12.1k, 303.6M."""
    if number is None:
        return "unknown"
    if number != int(number) and number < 1000:
        return f"{number:.1f}"
    if number < 10_000:
        return f"{round(number):,}"
    if number < 999_950:
        return f"{number / 1000:.1f}k"
    if number < 999_950_000:
        return f"{number / 1e6:.1f}M"
    return f"{number / 1e9:.1f}B"


def many(number: int, noun: str) -> str:
    """Write a count with its noun: 1 call, 12 calls."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(amount: int) -> str:
    """Write a number of bytes: 812 B, 12.1 kB, 3.4 MB."""
    if amount < 1000:
        return f"{amount} B"
    for unit, factor in (("kB", 1e3), ("MB", 1e6)):
        if amount < factor * 999.95:
            return f"{amount / factor:.1f} {unit}"
    return f"{amount / 1e9:.1f} GB"


def duration(microseconds: float | None) -> str:
    """Write a duration: 733 ms, 6.6 s, 2 m 04 s, 1 h 05 m."""
    if microseconds is None:
        return "unknown"
    seconds = microseconds / 1e6
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} m {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} m"


def ago(then: datetime, now: datetime) -> str:
    """Write how long ago a moment was, in its largest unit."""
    seconds = max(0, int((now - then) / timedelta(seconds=1)))
    if seconds < 100:
        return f"{seconds} s ago"
    if seconds < 100 * 60:
        return f"{seconds // 60} min ago"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86400} days ago"


def share(part: Decimal | float | None, whole: Decimal | float | None) -> str:
    """Write a part as percent of a whole; None is an unknown one, and so is the share."""
    if part is None or whole is None:
        return "unknown"
    if not whole:
        return "0 %"
    percent = float(part) / float(whole) * 100
    return "<1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def share_used(part: Decimal | float, cap: Decimal | float) -> str:
    """Write how much of what may be used is: as `share`, but 100 % only where nothing is left."""
    percent = float(part) / float(cap) * 100 if cap else 0
    return f"{floor(percent * 10) / 10:.1f} %" if 99.5 <= percent < 100 else share(part, cap)


def cost_and_share(cost: Decimal | None, whole: Decimal | None) -> str:
    """Write what something cost, and its share of a whole where it has a price: $3.00 · 75 %."""
    return NO_PRICE if cost is None else f"{usd(cost)}  ·  {share(cost, whole)}"


def times(factor: float) -> str:
    """Write a factor: 2.17x, 12x."""
    return f"{factor:.0f}x" if factor >= 10 else f"{factor:.2f}x" if factor < 3 else f"{factor:.1f}x"


def change(now: Decimal | int | None, before: Decimal | int | None) -> str | None:
    """Write a change as signed percent, or in words where that says nothing; None: nothing to compare with."""
    if now is None or not before:
        return None
    if now >= _FROM_NOTHING * before:
        return "from almost nothing"
    percent = (float(now) / float(before) - 1) * 100
    return f"{percent:+,.0f} %" if abs(percent) >= 10 else f"{percent:+.1f} %"


def day_name(day: date) -> str:
    """Write a day: Tue 3 Nov."""
    return f"{day:%a} {day.day} {day:%b}"


def hour_name(hour: int) -> str:
    """Write an hour of the day: 14:00-15:00."""
    return f"{hour:02d}:00-{(hour + 1) % 24:02d}:00"


def visible(text: str, limit: int = LONG) -> str:
    """Make foreign text fit to be seen: one line, no invisible or direction-changing characters, not too long."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    # Most is fit as it is, which is quickly seen; a page writes hundreds of names.
    return cut if cut.isprintable() else "".join(_shown(character) for character in cut)


def _shown(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} and character not in _KEPT_FORMAT:
        return f"\\u{ord(character):04x}"
    return character


def markdown(text: str, limit: int = LONG) -> str:
    """Escape text for a Streamlit element that reads Markdown.

    Addresses and :names: become links and emoji even where they are escaped, so those words go into code spans.
    """
    return "".join(
        _code(part) if number % 2 else _PUNCTUATION.sub(r"\\\1", part)
        for number, part in enumerate(_LINKED.split(visible(text, limit)))
    )


def _code(word: str) -> str:
    fence = "`" * (max((len(run) for run in re.findall("`+", word)), default=0) + 1)
    pad = " " if "`" in (word[0], word[-1]) else ""
    return f"{fence}{pad}{word}{pad}{fence}"


def button_text(text: str, limit: int = LONG) -> str:
    """Make foreign text the words of a button in a table, where `[a, b]` are several and `:material/home:` is an icon.

    A character that isn't seen stands before such a one.
    """
    shown = visible(text, limit)
    return f"\u2060{shown}" if shown.lstrip().startswith(("[", ":")) else shown


def figure_text(text: str, limit: int = LONG) -> str:
    """Escape text for Plotly, which reads a few HTML tags."""
    return visible(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
