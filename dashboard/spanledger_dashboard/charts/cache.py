"""What the prompt cache saved, and what it could save, of features, models or prefixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import plotly.graph_objects as go
import polars as pl

from spanledger_analytics.reports.cache_health import AS_IS, WAYS
from spanledger_dashboard.format import count, figure_text, many, share, usd, usd_exact

from .colours import GREEN, ORANGE
from .layout import add_beside, base

BLIND: Final = "(no fingerprints)"
NOBODY: Final = "(none)"
_ROW_PX: Final = 34
_ROOM: Final = 0.44
"""Part of the width that is kept free for words."""


@dataclass(frozen=True, slots=True)
class Health:
    """The prompt cache of one feature, model or prefix; US dollars."""

    name: str
    """Plain text."""
    saved_usd: Decimal
    could_save_usd: Decimal
    input_usd: Decimal
    hit_share: Decimal | None
    """Of what could have been read; None where nothing could."""
    calls: int
    input_tokens: int
    best: tuple[str, ...]
    """Ways of caching that would save more, the best first."""


def health_of(frame: pl.DataFrame, by: str, most: int) -> list[Health]:
    """Add up rows of the report `cache-health` by `by` (`prefix`, or what it was asked by), what could be saved first.

    Calls of which nothing can be told, for lack of fingerprints or prices, are left out.
    """
    known = frame.filter(pl.col("could_save_usd").is_not_null())
    groups = known.partition_by(by, as_dict=True, maintain_order=True)
    found = [_health(name, rows, by) for (name,), rows in groups.items()]
    found.sort(key=lambda one: (-one.could_save_usd, -abs(one.saved_usd), one.name))
    return found[:most]


def _health(name: object, rows: pl.DataFrame, by: str) -> Health:
    better = rows.filter(pl.col("could_save_usd") > 0).sort("could_save_usd", descending=True)
    return Health(
        _called(name, by),
        _sum(rows, "saved_usd"),
        _sum(rows, "could_save_usd"),
        _sum(rows, "input_usd"),
        hit_share(rows),
        int(rows["calls"].sum()),
        int(rows["input_tokens"].sum()),
        tuple(WAYS[way] for way in better["best"].unique(maintain_order=True) if way != AS_IS),
    )


def _called(name: object, by: str) -> str:
    if by == "prefix":
        return BLIND if name is None else f"prefix {name}" if name != "rare" else "rare prefixes"
    return str(name or NOBODY)


def hit_share(rows: pl.DataFrame) -> Decimal | None:
    """Return what rows of the report read from the cache, of what they could have."""
    told = rows.filter(pl.col("hit_share").is_not_null())
    cacheable = int(told["cacheable_tokens"].sum())
    hit = sum((hits * tokens for hits, tokens in told.select("hit_share", "cacheable_tokens").iter_rows()), Decimal(0))
    return hit / cacheable if cacheable else None


def cache_figure(found: Sequence[Health]) -> go.Figure:
    """Draw a row each: what was saved (to the left where it cost money), what could be beyond, and how much is read."""
    figure = base(_ROW_PX * len(found) + 40, bargap=0.36, barmode="relative")
    places = list(range(len(found)))
    saved, could = ([float(getattr(one, name)) for one in found] for name in ("saved_usd", "could_save_usd"))
    for name, lengths, marker in (
        ("saved", saved, {"color": GREEN}),
        ("could be saved", could, {"color": ORANGE, "pattern": {"shape": "/", "fillmode": "overlay", "size": 6}}),
    ):
        figure.add_bar(
            name=name,
            y=places,
            x=lengths,
            orientation="h",
            marker=marker | {"line": {"width": 0}},
            customdata=[[_hover(one)] for one in found],
            hovertemplate="%{customdata[0]}<extra></extra>",
        )
    ends = [max(one, 0.0) + other for one, other in zip(saved, could, strict=True)]
    add_beside(figure, ends, places, [f"  {_words(one)}" for one in found])
    lowest, highest = min([0.0, *saved]), max([0.0, *ends])
    figure.update_layout(
        xaxis={"visible": False, "range": [lowest, lowest + ((highest - lowest) or 1.0) / (1 - _ROOM)]},
        yaxis={
            "tickvals": places,
            "ticktext": [figure_text(one.name, 24) for one in found],
            "range": [len(found) - 0.5, -0.5],
            "showgrid": False,
            "ticklabelstandoff": 8,
        },
    )
    return figure


def _words(one: Health) -> str:
    more = f"{usd(one.could_save_usd)} more" if one.could_save_usd else usd(one.saved_usd)
    return more if one.hit_share is None else f"{more}  ·  {share(one.hit_share, 1)} read"


def _hover(one: Health) -> str:
    lines = [
        f"<b>{figure_text(one.name)}</b>",
        f"saved {usd_exact(one.saved_usd)}, writes paid",
        f"could save {usd_exact(one.could_save_usd)} more",
        f"{many(one.calls, 'call')} · {count(one.input_tokens)} tokens in, {usd_exact(one.input_usd)}",
    ]
    if one.hit_share is not None:
        lines.append(f"{share(one.hit_share, 1)} read of what could have been")
    return "<br>".join([*lines, *(f"best: cache {way}" for way in one.best[:2])])


def _sum(rows: pl.DataFrame, column: str) -> Decimal:
    return sum(rows[column].drop_nulls(), Decimal(0))
