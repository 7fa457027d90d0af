"""The price of a call on the span of OpenTelemetry's own instrumentors, for those who keep them.

A completion hook of opentelemetry-util-genai is called while the span still records and its usage stands on it. That is
the application's thread, so this is the one place where a price is worked out there; the book is read when the hook is
made. The messages that a hook is handed are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from . import base_file, faults, names
from .book import current_book
from .record import AttributeValue, Metered
from .settings import load
from .tracing import cost_attributes
from .usage import Usage

_CALLS: Final = frozenset({"chat", "generate_content", "text_completion"})
"""Operations of one call of a model; an agent's span has the usage of many, a fetched response was paid before."""
_TIERS: Final = (names.SERVICE_TIER, "openai.response.service_tier", "gen_ai.openai.response.service_tier")


class CompletionHook:
    """Puts the cost of a call, and the price it comes from, on its span."""

    def __init__(self) -> None:
        try:
            base_file.use_or_report(load())
        except Exception as error:  # a setting that can't be read
            faults.report("calls priced by the shipped base", error, expected=True)
        current_book()

    def on_completion(self, *, span: object = None, **_content: object) -> None:
        """Price the call that `span` stands for; one that has no price, or no usage, stays as it is."""
        try:
            if span is not None:
                _price(span)
        except Exception as error:
            faults.report("cost not put on a span", error)


def _price(span: Any) -> None:
    attributes = getattr(span, "attributes", None)
    if not attributes or not span.is_recording() or attributes.get(names.OPERATION) not in _CALLS:
        return
    metered = read_metered(attributes)
    if metered is not None:
        span.set_attributes(cost_attributes(metered, span.start_time or 0))


def read_metered(attributes: Mapping[str, AttributeValue]) -> Metered | None:
    """Read back what a price depends on; None where the span does not say how much was used."""
    if names.INPUT_TOKENS not in attributes:
        return None
    usage = read_usage(attributes)
    if usage.state == "inconsistent":
        return None
    asked = _text(attributes, names.REQUEST_MODEL) or ""
    return Metered(
        provider=_text(attributes, names.PROVIDER) or "",
        model=_text(attributes, names.RESPONSE_MODEL) or asked,
        request_model=asked,
        usage=usage,
        service_tier=next(filter(None, (_text(attributes, name) for name in _TIERS)), None),
        speed=_text(attributes, names.SPEED),
        region=_text(attributes, names.REGION),
    )


def read_usage(attributes: Mapping[str, AttributeValue]) -> Usage:
    """Read the disjoint parts back from OpenTelemetry's names, which overlap.

    A cache write whose lifetime is not told is one of five minutes, the providers' default.
    """

    def count(name: str) -> int:
        value = attributes.get(name)
        return value if isinstance(value, int) else 0

    audio_read, one_hour = count(names.CACHE_READ_AUDIO_TOKENS), count(names.CACHE_WRITE_1H_TOKENS)
    half_day = count(names.CACHE_WRITE_12H_TOKENS)
    return Usage.from_totals(
        count(names.INPUT_TOKENS),
        count(names.OUTPUT_TOKENS),
        cache_read_tokens=count(names.CACHE_READ_TOKENS) - audio_read,
        cache_read_audio_tokens=audio_read,
        cache_write_5m_tokens=count(names.CACHE_WRITE_TOKENS) - one_hour - half_day,
        cache_write_1h_tokens=one_hour,
        cache_write_12h_tokens=half_day,
        input_audio_tokens=count(names.INPUT_AUDIO_TOKENS) - audio_read,
        input_image_tokens=count(names.INPUT_IMAGE_TOKENS),
        reasoning_tokens=count(names.REASONING_TOKENS),
        output_audio_tokens=count(names.OUTPUT_AUDIO_TOKENS),
        output_image_tokens=count(names.OUTPUT_IMAGE_TOKENS),
    )


def _text(attributes: Mapping[str, AttributeValue], name: str) -> str | None:
    value = attributes.get(name)
    return value if isinstance(value, str) and value else None
