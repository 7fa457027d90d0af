"""The openai SDK beyond text: images, speech, transcription; and what is free: moderations, batch submissions.

These meter image tokens, audio tokens, seconds or characters. Where the provider reports no usage but bills by what the
request says (characters read aloud), that is counted and marked as an estimate.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from spanledger.attributes import Facts
from spanledger.prompts import WHOLE
from spanledger.sdk import Endpoint
from spanledger.usage import Usage

from .fields import count, get, text
from .openai_usage import token_usage

_LAST_IMAGE_EVENTS: Final = frozenset({"image_generation.completed", "image_edit.completed"})


def _read_images(facts: Facts, body: object) -> None:
    usage = get(body, "usage")
    if usage is None:
        made = len(get(body, "data") or ())
        if made:
            facts.units["images"] = Decimal(made)
            facts.complete = True
        return
    _read_image_usage(facts, usage)


def _hear_images(facts: Facts, event: object) -> None:
    usage = get(event, "usage")
    if usage is not None and text(event, "type") in _LAST_IMAGE_EVENTS:
        _read_image_usage(facts, usage)


def _read_image_usage(facts: Facts, usage: object) -> None:
    into, out = get(usage, "input_tokens_details"), get(usage, "output_tokens_details")
    written = count(usage, "output_tokens")
    facts.counts.update(
        input=count(usage, "input_tokens"),
        output=written,
        cached=count(into, "cached_tokens"),
        image_in=count(into, "image_tokens"),
        # Models that do not split their output write images only.
        image_out=count(out, "image_tokens") if out is not None else written,
    )
    facts.complete = True


def _read_speech(facts: Facts, _body: object) -> None:
    said = facts.asked.get("input")
    if isinstance(said, str) and said:
        facts.units["characters"] = Decimal(len(said))


def _read_transcription(facts: Facts, body: object) -> None:
    usage = get(body, "usage")
    seconds = get(usage, "seconds") if usage is not None else get(body, "duration")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        # By way of text, so that 0.1 means a tenth.
        facts.units["seconds"] = Decimal(str(seconds))
        facts.complete = True
    elif usage is not None:
        into = get(usage, "input_token_details")
        facts.counts.update(
            input=count(usage, "input_tokens"),
            output=count(usage, "output_tokens"),
            audio_in=count(into, "audio_tokens"),
        )
        facts.complete = True


def _hear_transcription(facts: Facts, event: object) -> None:
    if text(event, "type") == "transcript.text.done":
        _read_transcription(facts, event)


def read_free(facts: Facts, body: object) -> None:
    """Read what is no charge."""
    facts.response_id = text(body, "id")
    facts.response_model = text(body, "model")


def no_usage(_counts: object, _state: object) -> Usage:
    """Say that there is none."""
    return Usage(state="missing")


_IMAGES: Final = Endpoint("image_generation", _read_images, _hear_images, token_usage)
"""Without fingerprints where it takes files, because those stand outside the body."""
_TRANSCRIPTION: Final = Endpoint(
    "transcription", _read_transcription, _hear_transcription, token_usage, answers_in="text"
)
MEDIA_ENDPOINTS: Final = {
    "/audio/speech": Endpoint("speech", _read_speech, _read_speech, token_usage, answers_in="bytes", prompt=WHOLE),
    "/audio/transcriptions": _TRANSCRIPTION,
    "/audio/translations": _TRANSCRIPTION,
    "/batches": Endpoint("batches", read_free, read_free, no_usage, free=True, paid_later=True),
    "/images/edits": _IMAGES,
    "/images/generations": replace(_IMAGES, prompt=WHOLE),
    "/images/variations": _IMAGES,
    "/moderations": Endpoint("moderation", read_free, read_free, no_usage, free=True),
}
