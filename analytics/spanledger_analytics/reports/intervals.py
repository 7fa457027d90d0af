"""How sure a ratio is that was seen on some pieces of work: what a success costs, of few sessions or of many.

Fieller's interval for the ratio of two means, because cost and success of a session belong together and because it says
so where nothing is certain: it has no upper end where the successes could as well be none. It takes five sums, so that
millions of sessions need no resampling and the same ledger has the same interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final

LEAST: Final = 5
"""Pieces of work for which there is an interval."""
_Z: Final = Decimal("1.959963984540054")
_DIGITS: Final = 60


@dataclass(frozen=True, slots=True)
class Sums:
    """Of costs x and successes y (0 or 1), over pieces of work; whole numbers of whatever unit."""

    count: int
    x: int
    xx: int
    xy: int
    y: int


def interval(sums: Sums) -> tuple[Decimal | None, Decimal | None]:
    """Return the two ends of the 95 % interval of x / y; None for an end that isn't known.

    Fieller, Some Problems in Interval Estimation, Journal of the Royal Statistical Society B 16, 1954.
    """
    if sums.count < LEAST or not sums.y:
        return None, None
    with localcontext(prec=_DIGITS):
        count = Decimal(sums.count)
        mean_x, mean_y = sums.x / count, sums.y / count
        # Variances and covariance of the means, times the square of the quantile.
        scale = t_quantile(sums.count - 1) ** 2 / (count * (count - 1))
        var_x = scale * (sums.xx - count * mean_x**2)
        var_y = scale * (sums.y - count * mean_y**2)
        cov = scale * (sums.xy - count * mean_x * mean_y)
        a, b, c = mean_y**2 - var_y, mean_x * mean_y - cov, mean_x**2 - var_x
        root = max(Decimal(0), b**2 - a * c).sqrt()
        if a > 0:
            return max(Decimal(0), (b - root) / a), (b + root) / a
        if c > 0 > a:
            return (b - root) / a, None
        return Decimal(0), None


def t_quantile(freedom: int) -> Decimal:
    """Return the 97.5 % quantile of Student's t, for 4 degrees of freedom or more to a hundredth.

    Cornish and Fisher's expansion: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum((term / Decimal(freedom) ** power for power, term in enumerate(terms, 1)), Decimal(0))
