"""OpenAI's images, speech and transcription on the wire, and what costs nothing: moderations and batch submissions.

What they bill is not text: image tokens, characters said, seconds heard. A plan states the usage exactly; without one
it is worked out from the request, so that the bill never depends on what the caller counts.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from spanledger.usage import Usage

from .answers import Names
from .plans import Plan
from .wire import JsonObject, objects

IMAGE_TOKENS: Final = 1056
"""Of a square image of medium quality."""
_SECONDS: Final = Decimal("2.5")
_FIELD: Final = re.compile(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', re.DOTALL)
_PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True, slots=True)
class Media:
    """One answer."""

    body: bytes
    content_type: str
    model: str
    usage: Usage | None
    """None is free: nothing goes on the bill."""


def _image(asked: Mapping[str, Any], plan: Plan, _names: Names) -> Media:
    count = int(asked.get("n") or 1)
    words = len(str(asked["prompt"])) // 4 + 1
    usage = plan.usage or Usage(input_uncached_tokens=words, output_image_tokens=IMAGE_TOKENS * count)
    body: JsonObject = {
        "created": int(time.time()),
        "data": [{"b64_json": _PIXEL}] * count,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
            "input_tokens_details": {
                "image_tokens": usage.input_image_tokens,
                "text_tokens": usage.input_tokens - usage.input_image_tokens,
            },
            "output_tokens_details": {
                "image_tokens": usage.output_image_tokens,
                "text_tokens": usage.output_text_tokens,
            },
        },
    }
    return _json(body, str(asked["model"]), usage)


def _speech(asked: Mapping[str, Any], plan: Plan, _names: Names) -> Media:
    said = Usage(units={"characters": Decimal(len(str(asked["input"])))})
    return Media(b"ID3" + bytes(997), "audio/mpeg", str(asked["model"]), plan.usage or said)


def _transcription(asked: Mapping[str, Any], plan: Plan, _names: Names) -> Media:
    model, usage = str(asked["model"]), plan.usage or Usage(units={"seconds": _SECONDS})
    if asked.get("response_format") in ("text", "srt", "vtt"):
        return Media(b"Where is the best hotel?\n", "text/plain", model, usage)
    if "seconds" in usage.units:
        told: JsonObject = {"type": "duration", "seconds": float(usage.units["seconds"])}
    else:
        told = {
            "type": "tokens",
            "input_tokens": usage.input_tokens,
            "input_token_details": {
                "audio_tokens": usage.input_audio_tokens,
                "text_tokens": usage.input_uncached_tokens,
            },
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
    return _json({"text": "Where is the best hotel?", "usage": told}, model, usage)


def _moderation(asked: Mapping[str, Any], _plan: Plan, names: Names) -> Media:
    model = str(asked.get("model") or "omni-moderation-latest")
    result = {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
    return _json({"id": names.make("modr-", 29), "model": model, "results": [result]}, model, None)


def _batch(asked: Mapping[str, Any], _plan: Plan, names: Names) -> Media:
    body = {
        "id": names.make_hex("batch_", 32),
        "object": "batch",
        "status": "validating",
        "created_at": int(time.time()),
        **asked,
    }
    return _json(body, "", None)


def _message_batch(asked: Mapping[str, Any], _plan: Plan, names: Names) -> Media:
    waiting = len(objects(asked.get("requests")))
    counts = {"processing": waiting, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    body = {
        "id": names.make("msgbatch_01", 22),
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": counts,
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-02T00:00:00Z",
        "ended_at": None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }
    return _json(body, "", None)


def _json(body: Mapping[str, object], model: str, usage: Usage | None) -> Media:
    return Media(json.dumps(body).encode(), "application/json", model, usage)


MEDIA: Final[dict[str, Callable[[Mapping[str, Any], Plan, Names], Media]]] = {
    "/v1/audio/speech": _speech,
    "/v1/audio/transcriptions": _transcription,
    "/v1/audio/translations": _transcription,
    "/v1/batches": _batch,
    "/v1/images/edits": _image,
    "/v1/images/generations": _image,
    "/v1/messages/batches": _message_batch,
    "/v1/moderations": _moderation,
}
"""Path to what answers it."""


def read_request(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a JSON or a multipart request; files are left out.

    Raises:
        ValueError: neither of the two.
    """
    if content_type.startswith("multipart/form-data"):
        return {name.decode(): value.decode() for name, value in _FIELD.findall(raw)}
    asked: dict[str, Any] = json.loads(raw)
    return asked
