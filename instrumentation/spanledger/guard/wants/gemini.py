"""What a request of Gemini's `generateContent` asks for.

The SDK writes some names as Python does and others as the wire has them, and the service takes both, so names are
compared as Python writes them; so are those of a policy's `drop`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from spanledger.canonical import fields_of, is_absent

from .messages import is_answer
from .wanted import THOUGHTS, Wants, count_runs, listed, named

_HARMLESS: Final = frozenset(
    {
        *("contents", "system_instruction", "safety_settings", "labels", "store"),
    }
)
"""Parameters that every model takes, or that stand and fall with others."""
_NESTED: Final = frozenset({"generation_config", "tool_config"})
"""Parameters that are only a place for others."""
_SAID: Final = frozenset({"text", "part_metadata"})
"""Fields of a part that every model reads, or leaves out."""
_TOOL_PARTS: Final = frozenset({"function_call", "function_response"})
_CODE_PARTS: Final = frozenset({"executable_code", "code_execution_result"})
_JSON: Final = "application/json"
_MEDIA: Final = {"image": "images", "audio": "audio", "video": "video"}
_MOST_BUDGET: Final = range(512, 24_577)
"""Tokens of thinking that each model takes that has a budget of them."""


def read_gemini(body: Mapping[str, Any]) -> Wants:
    """Read the body of a request, as the SDK gives it to its HTTP client."""
    features: dict[str, str] = {}
    asked = dict(_parameters(body))
    for name, value in asked.items():
        for feature in _READERS.get(name, _plainly)(name, value):
            features[feature] = name
    if "json_schema" in features:
        features.pop("json_object", None)
    if "temperature" in features and "top_p" in features:
        features["temperature and top_p"] = "top_p"
    if "tools" in features and features.keys() & {"json_schema", "json_object"}:
        features["tools and json"] = "tools"
    turns = [fields for one in listed(body.get("contents")) if (fields := fields_of(one)) is not None]
    parts = [dict(named(part)) for one in turns for part in listed(one.get("parts"))]
    for part in parts:
        for feature in _of_part(part):
            features.setdefault(feature, "contents")
    if turns and is_answer(turns[-1]):
        features["prefill"] = "contents"
    most = asked.get("max_output_tokens")
    return Wants(
        features,
        1 + count_runs(map(is_answer, turns)),
        most if type(most) is int else None,
        "tools" in asked,
        any("function_response" in part for part in parts),
        any("```" in text for part in parts if isinstance(text := part.get("text"), str)),
        is_chat=False,
        marks_cache=False,
    )


def _parameters(body: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Give all that is asked for, as one flat list; what begins with _ is the SDK's own."""
    for name, value in named(body):
        if name in _NESTED:
            yield from _parameters(fields_of(value) or {})
        elif name not in _HARMLESS and not name.startswith("_") and not is_absent(value):
            yield name, value


def _of_part(part: Mapping[str, Any]) -> Iterator[str]:
    for key, value in part.items():
        if is_absent(value) or value is False or key in _SAID:
            continue
        if key in ("inline_data", "file_data"):
            kind = str(dict(named(value)).get("mime_type", ""))
            yield _MEDIA.get(kind.partition("/")[0], "files")
        elif key in _TOOL_PARTS:
            yield "tools"
            if "parts" in dict(named(value)):
                yield f"content {key} parts"
        elif key in ("thought", "thought_signature"):
            yield THOUGHTS
        else:
            yield "tool code_execution" if key in _CODE_PARTS else f"content {key}"


def _harmless(name: str, value: object) -> Iterable[str]:
    return ()


def _plainly(name: str, value: object) -> Iterable[str]:
    yield name


def _sampling(name: str, value: object) -> Iterable[str]:
    yield f"{name}=1" if value == 1 else name


def _answers(name: str, value: object) -> Iterable[str]:
    yield "n=1" if value == 1 else "n"


def _tools(name: str, value: object) -> Iterable[str]:
    for tool in listed(value):
        for kind, _ in named(tool):
            yield "tools" if kind == "function_declarations" else f"tool {kind}"


def _schema(name: str, value: object) -> Iterable[str]:
    yield "json_schema"


def _mime_type(name: str, value: object) -> Iterable[str]:
    if value != "text/plain":
        yield "json_object" if value == _JSON else f"{name} {value}"


def _modalities(name: str, value: object) -> Iterable[str]:
    if not all(_word(one) == "text" for one in listed(value)):
        yield name


def _thinking(name: str, value: object) -> Iterable[str]:
    for key, inner in named(value):
        if key == "thinking_budget":
            yield _budget(inner)
        elif key == "thinking_level":
            yield f"thinking {_word(inner)}"
        elif key != "include_thoughts":
            yield f"thinking {key}"
        elif inner:
            yield "thinking summary"


def _word(value: object) -> str:
    """Return a value that is one of a few words; the SDK gives members of its enumerations, which are text."""
    return value.lower() if isinstance(value, str) else str(value).lower()


def _calling(name: str, value: object) -> Iterable[str]:
    """Read how functions are called: as every model calls them, but for arguments that come in pieces."""
    yield from (key for key, inner in named(value) if key == "stream_function_call_arguments" and inner)


def _budget(tokens: object) -> str:
    if tokens in _MOST_BUDGET:
        return "thinking budget"
    return "thinking disabled" if tokens == 0 else "thinking dynamic" if tokens == -1 else f"thinking budget {tokens}"


def _tier(name: str, value: object) -> Iterable[str]:
    if _word(value) not in ("standard", "unspecified"):
        yield f"{name} {_word(value)}"


def _switch(name: str, value: object) -> Iterable[str]:
    if value is not False:
        yield "logprobs"


def _top_logprobs(name: str, value: object) -> Iterable[str]:
    yield "top_logprobs"


_READERS: Final[Mapping[str, Callable[[str, object], Iterable[str]]]] = {
    "max_output_tokens": _harmless,
    "temperature": _sampling,
    "top_p": _sampling,
    "candidate_count": _answers,
    "response_logprobs": _switch,
    "logprobs": _top_logprobs,
    "response_mime_type": _mime_type,
    "response_schema": _schema,
    "response_json_schema": _schema,
    "response_modalities": _modalities,
    "thinking_config": _thinking,
    "function_calling_config": _calling,
    "tools": _tools,
    "service_tier": _tier,
}
